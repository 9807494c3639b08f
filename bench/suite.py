"""Runs the rows of pawl_bench and records what they measured.

bench/run calls this; its --help tells the arguments. It writes DIR/results.json, which is all that
report.py and compare read:

  format, version, date, command, scale, repetitions, seconds, skipped [names],
  suite (a hash of the kernels' sources), commit {id, dirty} or null,
  summary {rows, met, missed, unknown, failed}
  machine   what pawl_bench says of it, and findings [{level, what, text, advice}]
  rows      each with what `pawl_bench --rows` says of it, and
    run, seconds, status ("ok", "failed", "timeout"), error
    peak_bytes, steal, others     the process's largest memory; shares of the cpus' time taken
                                  away by the hypervisor and used by other processes meanwhile
    line_ns   {median, low, high, place} of a row that crosses cores, else null
    contenders  name, kind ("ours", "limit", "peer"), semantics, absent, median, low, high,
                mad_percent, counters {name: median},
                samples [{value, rate, ns, counters {name: value}}]
    ours, limit, best_peer        names or null
    ratios    {name: {ratio, low, high}} of "ours" to each other contender
    goal_result  {value, target, share, reached} or null; reached null: cannot be known here

A ratio above 1 always means that Pawl is better. It is of two medians of one process; low and high
are the 10th and 90th percentile of all pairs of rounds. No ratio is ever taken between two rows.
"""
import argparse
import datetime
import hashlib
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

sys.dont_write_bytecode = True
import report  # noqa: E402

TOP = Path(__file__).resolve().parent.parent
REPETITIONS_MIN = 5
BUDGET_S = {"smoke": 60, "quick": 420, "full": 2400}
TIMEOUT_S = {"smoke": 30, "quick": 60, "full": 300}
MEMORY_GB = {"smoke": 1, "quick": 6, "full": 16}
LOAD_MAX = 0.3  # of the load average, a cpu
BUSY_MAX = 0.1  # of the cpus' time in one second: quiet
STEAL_MAX = 0.01
OTHERS_MAX = 0.05
NEAR_NS = 240  # a line's way there and back: within one cache some 50 to 200, across caches more
# What google-benchmark says of every repetition; all else is a counter.
STANDARD_KEYS = frozenset((
    "name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions",
    "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit",
    "items_per_second", "bytes_per_second", "label"))


# ---- The machine ---------------------------------------------------------------------------------


def read_text(path):
    """What a file holds, or nothing where it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def cpu_time():
    """Seconds of all cpus since the start: (all, busy, stolen by the hypervisor)."""
    fields = [int(field) for field in read_text("/proc/stat").split("\n", 1)[0].split()[1:9]]
    if len(fields) < 8:
        return 0.0, 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, waiting, irq, softirq, steal = fields
    busy = user + nice + system + irq + softirq
    return (busy + idle + waiting + steal) / tick, busy / tick, steal / tick


def shares(before, after, own=0.0):
    """Of the cpus' time between two cpu_time()s: used by others than `own` seconds, and stolen."""
    span = after[0] - before[0]
    if span <= 0:
        return 0.0, 0.0
    return (max(0.0, after[1] - before[1] - own) / span,
            max(0.0, after[2] - before[2]) / span)


def finding(level, what, text, advice=""):
    """What was found out about the machine; level is "warning" or "note"."""
    return {"level": level, "what": what, "text": text, "advice": advice}


def check_governor():
    """Whether the cpus keep their clock up."""
    paths = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    found = {read_text(path) for path in paths}
    if not found:
        return [finding("note", "governor", "the cpus' governor cannot be read here; in a virtual "
                        "machine the host decides")]
    if found == {"performance"}:
        return []
    return [finding("warning", "governor", f"the governor is {', '.join(sorted(found))}: the clock "
                    "follows the load", "sudo cpupower frequency-set -g performance")]


def check_load(settle):
    """Waits up to `settle` seconds for quiet."""
    cpus = os.cpu_count() or 1
    load = os.getloadavg()[0]
    quiet = 0
    busy = 0.0
    if load / cpus <= LOAD_MAX:
        return []
    end = time.monotonic() + settle
    # The average takes minutes to forget a build; the cpus themselves are asked.
    while quiet < 2 and time.monotonic() < end:
        before = cpu_time()
        time.sleep(1)
        busy = shares(before, cpu_time())[0]
        quiet = quiet + 1 if busy <= BUSY_MAX else 0
    if quiet == 2:
        return []
    return [finding("warning", "load", f"the load average is {load:.2f} on {cpus} cpus"
                    + (f"; other processes use {busy:.0%} of them" if settle else ""),
                    "end other work and run this again")]


def core_count():
    """Cores, not their threads, that this process may use."""
    topology = "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list"
    return len({read_text(topology % cpu) or str(cpu) for cpu in os.sched_getaffinity(0)})


def check_cores():
    """Whether two cores can talk."""
    if core_count() >= 2:
        return []
    return [finding("warning", "cores", "there is one core: what crosses cores is measured with "
                    "both sides on it", "use a machine with two cores")]


def check_huge_pages():
    """Whether the arenas' memory can be of huge pages."""
    text = read_text("/sys/kernel/mm/transparent_hugepage/enabled")
    chosen = re.search(r"\[(\w+)\]", text)
    if chosen and chosen.group(1) in ("madvise", "always"):
        return []
    return [finding("warning", "huge pages", "transparent huge pages are "
                    + (chosen.group(1) if chosen else "not offered")
                    + ": large tables pay for small pages",
                    "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled")]


def check_memory(scale):
    """Whether the largest rows fit."""
    match = re.search(r"^MemAvailable:\s*(\d+) kB", read_text("/proc/meminfo"), re.MULTILINE)
    free = int(match.group(1)) * 1024 / 1e9 if match else 0.0
    if not match or free >= MEMORY_GB[scale]:
        return []
    return [finding("warning", "memory", f"{free:.1f} GB are free and the largest rows of "
                    f"--{scale} use up to {MEMORY_GB[scale]} GB: they may fail",
                    "leave them out with --rows, or end other work")]


def check_hypervisor():
    """Whether the cpus are somebody else's."""
    flags = re.search(r"^(?:flags|Features)\s*:.*$", read_text("/proc/cpuinfo"), re.MULTILINE)
    if not flags or " hypervisor" not in flags.group(0):
        return []
    return [finding("note", "virtual", "this is a virtual machine: neighbours and the host's "
                    "scheduler can change figures by a third within minutes; ratios within a row "
                    "suffer least")]


def check_lines(context):
    """How near the first two cores were when the suite began."""
    line = float(context.get("line_ns") or 0)
    if line <= 0:
        return []
    return [finding("note", "cores", "a cache line goes from the first core to the second and back "
                    f"in {line:.0f} ns: the two are {place_of([line])}")]


def check_machine(context, scale, settle):
    """All that should be known of the machine before its figures are believed."""
    return (check_governor() + check_load(settle) + check_cores() + check_huge_pages()
            + check_memory(scale) + check_hypervisor() + check_lines(context))


def check_after(rows):
    """What happened meanwhile: time stolen, and other processes."""
    found = []
    for key, limit, text in (("steal", STEAL_MAX, "the hypervisor took {:.0%} of the cpus' time"),
                             ("others", OTHERS_MAX, "other processes used {:.0%} of the cpus")):
        hit = [row for row in rows if row.get(key, 0) > limit]
        if hit:
            worst = max(hit, key=lambda row: row[key])
            found.append(finding("warning", key, text.format(worst[key])
                                 + f" during {worst['name']}; {len(hit)} of {len(rows)} rows had "
                                 f"more than {limit:.0%}", "run these rows again"))
    return found


def place_of(lines):
    """Whether two cores share a cache, by the round trips of a line between them."""
    near = sum(line < NEAR_NS for line in lines) / len(lines)
    return "near" if near > 0.8 else "far" if near < 0.2 else "near and far by turns"


# ---- Figures of one row --------------------------------------------------------------------------


def kind_of(name):
    """Whose a contender is."""
    if name.startswith("pawl"):
        return "ours"
    return "limit" if name in ("limit", "bare") or name.startswith("limit-") else "peer"


def number(value):
    """A finite number or None."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


def sample_of(entry, metric):
    """One repetition as google-benchmark reports it; its value is what the row is about."""
    counters = {key: number(value) for key, value in entry.items() if key not in STANDARD_KEYS}
    ns = counters.pop("ns", None)
    sample = {"rate": number(entry.get("items_per_second")), "ns": ns, "counters": counters}
    sample["value"] = sample[metric] if metric in ("rate", "ns") else counters.get(metric)
    return sample


def fold_samples(contender):
    """The medians and the spread of a contender's samples."""
    values = [s["value"] for s in contender["samples"] if s["value"] is not None]
    names = dict.fromkeys(name for s in contender["samples"] for name in s["counters"])
    contender.update(median=None, low=None, high=None, mad_percent=None, counters={})
    for name in names:
        counted = [s["counters"].get(name) for s in contender["samples"]]
        counted = [value for value in counted if value is not None]
        contender["counters"][name] = statistics.median(counted) if counted else None
    if values:
        middle = statistics.median(values)
        off = statistics.median(abs(value - middle) for value in values)
        contender.update(median=middle, low=min(values), high=max(values),
                         mad_percent=100 * off / abs(middle) if middle else None)


def pair_ratio(ours, other, less_is_better):
    """Of two values; above 1 ours is better; None where that says nothing."""
    if ours is None or other is None or ours <= 0 or other <= 0:
        return None
    return other / ours if less_is_better else ours / other


def ratio_of(row, ours, other):
    """Of the medians of two contenders of one row, with how far single rounds are from that."""
    less = row["less_is_better"]
    ratio = pair_ratio(ours["median"], other["median"], less)
    pairs = [pair_ratio(a["value"], b["value"], less)
             for a in ours["samples"] for b in other["samples"]]
    pairs = sorted(pair for pair in pairs if pair is not None)
    if ratio is None or not pairs:
        return None
    last = len(pairs) - 1
    return {"ratio": ratio, "low": pairs[round(0.1 * last)], "high": pairs[round(0.9 * last)]}


def fold_ratios(row):
    """Who is who in a row, and how Pawl does beside each."""
    measured = {c["name"]: c for c in row["contenders"] if c["median"] is not None}
    by_kind = {kind: [c for c in measured.values() if c["kind"] == kind]
               for kind in ("ours", "limit", "peer")}
    ours = measured.get("pawl") or (by_kind["ours"] or [None])[0]
    limit = measured.get("limit") or (by_kind["limit"] or [None])[0]
    best = (min if row["less_is_better"] else max)(
        by_kind["peer"], key=lambda c: c["median"], default=None)
    row.update(ours=ours and ours["name"], limit=limit and limit["name"],
               best_peer=best and best["name"], ratios={})
    for name, contender in measured.items():
        ratio = ratio_of(row, ours, contender) if ours and contender is not ours else None
        if ratio:
            row["ratios"][name] = ratio


def judge_goal(row):
    """Whether a row reached its goal; the share is how much of it, above 1 when it is exceeded."""
    row["goal_result"] = None
    if not row["goal"]:
        return
    less = row["less_is_better"]
    of = row["best_peer"] if row["goal_of"] == "best" else row["goal_of"]
    if row["goal_of"]:
        value = row["ratios"].get(of, {}).get("ratio")
        share = value and value / row["goal"]
    else:
        value = next((c["median"] for c in row["contenders"] if c["name"] == row["ours"]), None)
        share = pair_ratio(value, row["goal"], less)
        if value == 0:
            share = math.inf if less else 0.0
    row["goal_result"] = {"value": value, "target": row["goal"], "share": number(share),
                          "reached": None if share is None else share >= 1}


def fold_lines(row):
    """How near the cores were while a row that crosses them ran."""
    lines = [s["counters"].get("line_ns") for c in row["contenders"] for s in c["samples"]]
    lines = [line for line in lines if line]
    row["line_ns"] = {"median": statistics.median(lines), "low": min(lines), "high": max(lines),
                      "place": place_of(lines)} if lines else None


def fold_row(row, benchmarks):
    """Fills a row with what google-benchmark measured in one process."""
    for contender in row["contenders"]:
        prefix = f"{row['name']}/{contender['name']}/"
        contender["kind"] = kind_of(contender["name"])
        contender["samples"] = [
            sample_of(entry, row["metric"]) for entry in benchmarks
            if entry.get("run_type") == "iteration" and (entry["name"] + "/").startswith(prefix)]
        fold_samples(contender)
    fold_ratios(row)
    judge_goal(row)
    fold_lines(row)


# ---- Running -------------------------------------------------------------------------------------


class Late(Exception):
    """A row took longer than it may."""


def on_alarm(_signal, _frame):
    """The alarm's handler: ends the wait for a row."""
    raise Late


def end_group(group):
    """Nothing of a row may run on beside the next: the peers' programs go with it."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_process(command, log, timeout):
    """Runs to the end or the timeout: (exit status or None if late, its pid, its resources).

    It waits without polling, which would take time from a machine with few cores.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    used = None
    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        _, status, used = os.wait4(process.pid, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except Late:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        end_group(process.pid)
        if used is None:
            process.wait()
    return (process.returncode if used else None), process.pid, used


def why_failed(code, log):
    """An error for people: what the row said last."""
    start = "pawl_bench: "
    said = [line for line in read_text(log).splitlines() if line.startswith(start)]
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (" (no memory left?)" if name == "SIGKILL" else "")
    return said[-1][len(start):] if said else f"ended with status {code}"


def run_row(options, row, folder):
    """Measures one row in a process of its own; whatever happens is recorded in the row."""
    out, log = folder / f"{row['name']}.json", folder / f"{row['name']}.log"
    command = [options.program, f"--scale={options.scale}", f"--benchmark_filter=^{row['name']}/",
               f"--benchmark_repetitions={options.repetitions}", f"--benchmark_out={out}",
               "--benchmark_out_format=json"]
    before, begin = cpu_time(), time.monotonic()
    code, pid, used = run_process(command, log, options.timeout)
    row["seconds"] = time.monotonic() - begin
    row["run"] = f"{pid}-{uuid.uuid4().hex[:12]}"
    own = used.ru_utime + used.ru_stime if used else 0.0
    row["others"], row["steal"] = shares(before, cpu_time(), own)
    row["peak_bytes"] = used.ru_maxrss * 1024 if used else 0
    row["status"], row["error"] = "ok", ""
    data = {}
    if code == 0:
        try:
            data = json.loads(out.read_text())
        except (OSError, ValueError) as error:
            row["status"], row["error"] = "failed", f"wrote no results: {error}"
    elif code is None:
        row["status"], row["error"] = "timeout", f"was not done after {options.timeout:g} s"
    else:
        row["status"], row["error"] = "failed", why_failed(code, log)
    fold_row(row, data.get("benchmarks", []))
    check_samples(row)
    return data.get("context", {})


def check_samples(row):
    """A row that ran but measured nothing of Pawl has failed as well."""
    if row["status"] != "ok":
        return
    silent = [c["name"] for c in row["contenders"] if not c["absent"] and not c["samples"]]
    if silent:
        row["status"], row["error"] = "failed", f"no samples of {', '.join(silent)}"
    elif any(c["kind"] == "ours" and not c["absent"] for c in row["contenders"]) \
            and row["ours"] is None:
        row["status"], row["error"] = "failed", f"Pawl has no {row['metric']}"


def list_rows(options):
    """What pawl_bench offers at this scale: (rows to run, names left out)."""
    command = [options.program, f"--scale={options.scale}", "--rows"]
    try:
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows = json.loads(text)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        sys.exit(f"bench: {options.program} does not list its rows: {error}")
    for row in rows:
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", row["name"]):
            sys.exit(f"bench: no row can be called '{row['name']}'")
    wanted = [row for row in rows if re.search(options.rows, row["name"])]
    if not wanted:
        sys.exit(f"bench: no row matches '{options.rows}'; {options.program} --rows lists them")
    if options.scale == "full":
        return wanted, []
    return ([row for row in wanted if not row["full_only"]],
            [row["name"] for row in wanted if row["full_only"]])


def ask_context(options, rows, folder):
    """What pawl_bench says of the machine; the smallest thing it does is one round of a row."""
    out = folder / "context.json"
    command = [options.program, "--scale=smoke", f"--benchmark_filter=^{rows[0]['name']}/",
               "--benchmark_repetitions=1", f"--benchmark_out={out}",
               "--benchmark_out_format=json"]
    run_process(command, folder / "context.log", 30)
    try:
        return json.loads(re.split(r',\s*"benchmarks"', out.read_text())[0] + "}")["context"]
    except (OSError, ValueError, KeyError):
        return {}


# ---- What is recorded ----------------------------------------------------------------------------


def git(*arguments):
    """What git says of the source tree, or None."""
    try:
        return subprocess.run(["git", "-C", str(TOP), *arguments], check=True, text=True,
                              capture_output=True,
                              env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"}).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def find_commit():
    """The commit that was measured, where git is there to ask."""
    top, head = git("rev-parse", "--show-toplevel"), git("rev-parse", "--short=12", "HEAD")
    if not head or not top or Path(top).resolve() != TOP:
        return None
    return {"id": head, "dirty": bool(git("status", "--porcelain"))}


def hash_suite():
    """Of all kernels and peers: two results of different ones may not have done the same work."""
    digest = hashlib.sha256()
    for path in sorted((TOP / "bench").rglob("*")):
        if path.suffix in (".c", ".h", ".cc", ".go", ".erl"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def describe_machine(context, findings):
    """The context of google-benchmark, less what tells nothing of the machine."""
    left_out = ("executable", "date", "library_build_type", "host_name", "scale", "pawl")
    machine = {key: value for key, value in context.items() if key not in left_out}
    machine["cores"] = core_count()
    machine["findings"] = findings
    return machine


def sum_up(rows):
    """The counts of the last line."""
    reached = [row["goal_result"]["reached"] for row in rows
               if row["goal_result"] and row["status"] == "ok"]
    return {"rows": len(rows), "met": sum(r is True for r in reached),
            "missed": sum(r is False for r in reached), "unknown": sum(r is None for r in reached),
            "failed": sum(row["status"] != "ok" for row in rows)}


def write_results(options, results):
    """results.json and report.html in the folder."""
    path = Path(options.out) / "results.json"
    path.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    page = path.with_name("report.html")
    page.write_text(report.page(results), encoding="utf-8")
    return page


# ---- What is said --------------------------------------------------------------------------------


def clock(seconds):
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def say_absent(rows):
    """Which peers are not here, and the one command that brings them."""
    absent = {c["name"]: c["absent"] for row in rows for c in row["contenders"] if c["absent"]}
    if not absent:
        print("bench: every peer is here")
        return
    print("bench: absent peers: " + ", ".join(f"{n} ({p})" for n, p in sorted(absent.items())))
    print("bench: to have them as well: tools/setup peers")


def say_findings(findings):
    """The machine's findings, warnings first."""
    for entry in sorted(findings, key=lambda entry: entry["level"] != "warning"):
        print(f"bench: {entry['level']}: {entry['text']}"
              + (f". Advice: {entry['advice']}" if entry["advice"] else ""))


def row_line(row):
    """A row's outcome in one line."""
    if row["status"] != "ok":
        return f"FAILED: {row['error'][:200]}"
    cells = report.row_cells(row)
    parts = [cells["figure"]]
    if row["limit"]:
        parts.append(f"{cells['limit']} of the limit")
    if row["best_peer"]:
        parts.append(f"{cells['best']} (best peer)")
    if row["goal_result"]:
        parts.append(f"goal {cells['goal']}: {cells['verdict']} {cells['reached']}".rstrip())
    if row["line_ns"]:
        parts.append(f"{row['line_ns']['place']} ({row['line_ns']['median']:.0f} ns)")
    return ", ".join(parts)


def measure(options, rows, folder):
    """Runs all rows in turn and says how it goes; returns those that ran."""
    width = max(len(row["name"]) for row in rows)
    begin = time.monotonic()
    weights = [len([c for c in row["contenders"] if not c["absent"]]) or 1 for row in rows]
    left = 0.0
    for i, row in enumerate(rows):
        head = f"[{i + 1:{len(str(len(rows)))}}/{len(rows)}] {row['name']:{width}}"
        if sys.stdout.isatty():
            left_text = f"about {clock(left)} left" if i else ""
            print(f"{head}  {clock(time.monotonic() - begin)} {left_text}\r", end="", flush=True)
        try:
            run_row(options, row, folder)
        except KeyboardInterrupt:
            print("\nbench: interrupted; what is done is recorded")
            return rows[:i]
        elapsed = time.monotonic() - begin
        left = elapsed / sum(weights[:i + 1]) * sum(weights[i + 1:])
        clear = "\033[K" if sys.stdout.isatty() else ""
        print(f"{head}{clear}  {row_line(row)}  [{clock(elapsed)}, {clock(left)} left]", flush=True)
    return rows


def say_table(results):
    """The final table of all rows."""
    lines = [("row", "Pawl", "of limit", "of best peer", "goal", "")]
    for row in results["rows"]:
        cells = report.row_cells(row)
        if row["status"] != "ok":
            lines.append((row["name"], "FAILED", row["error"][:100], "", "", ""))
        else:
            lines.append((row["name"], cells["figure"], cells["limit"], cells["best"],
                          cells["goal"], f"{cells['verdict']} {cells['reached']}"))
    widths = [max(len(line[i]) for line in lines if line[1] != "FAILED") for i in range(6)]
    widths[0] = max(len(line[0]) for line in lines)
    print()
    for line in lines:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip())


def say_end(options, results, page):
    """What took longest, and the summary."""
    slow = sorted(results["rows"], key=lambda row: -row["seconds"])[:5]
    budget = BUDGET_S[results["scale"]]
    print(f"\nbench: took {clock(results['seconds'])} of {clock(budget)}; the longest rows: "
          + ", ".join(f"{row['name']} {row['seconds']:.1f} s" for row in slow))
    if results["seconds"] > budget:
        print(f"bench: warning: --{results['scale']} should fit {clock(budget)}")
    if results["scale"] == "smoke":
        print("bench: this was a smoke run: its figures mean nothing")
    counts = results["summary"]
    unknown = f", {counts['unknown']} unknown here" if counts["unknown"] else ""
    print(f"bench: {counts['rows']} rows, {counts['met']} goals met, {counts['missed']} missed"
          f"{unknown}, {counts['failed']} failed; report at {page}")


def markdown(results):
    """The rows with goals as the README shows them."""
    lines = ["| | Pawl | goal | | of the limit | of the best peer |", "|---|---|---|---|---|---|"]
    for row in results["rows"]:
        if not row["goal"]:
            continue
        cells = report.row_cells(row)
        lines.append(f"| {row['title']} | {cells['figure']} | {cells['goal']} "
                     f"| {cells['verdict']} {cells['reached']} "
                     f"| {cells['limit']} | {cells['best']} |".replace("  ", " "))
    return "\n".join(lines)


# ---- Commands ------------------------------------------------------------------------------------


def show(options):
    """The tables of results that were recorded before."""
    try:
        results = json.loads(Path(options.results).read_text())
        if options.markdown:
            print(markdown(results))
        else:
            say_table(results)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"bench: cannot read results in '{options.results}': {error!r}")
    return 0


def run(options):
    """Measures and records."""
    # Whoever ends this ends what it runs as well: the rows are in process groups of their own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(options.out) / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    rows, skipped = list_rows(options)
    if not rows:
        sys.exit(f"bench: what matches is too long for --{options.scale}: use --full")
    say_absent(rows)
    context = ask_context(options, rows, folder)
    findings = check_machine(context, options.scale, options.settle)
    say_findings(findings)
    begin = time.monotonic()
    planned = len(rows)
    rows = measure(options, rows, folder)
    after = check_after(rows)
    say_findings(after)
    now = datetime.datetime.now(datetime.timezone.utc)
    results = {
        "format": 1, "version": context.get("pawl", "unknown"),
        "date": now.isoformat(timespec="seconds"), "command": options.command,
        "scale": options.scale, "repetitions": options.repetitions,
        "seconds": time.monotonic() - begin, "suite": hash_suite(), "commit": find_commit(),
        "skipped": skipped, "machine": describe_machine(context, findings + after),
        "rows": rows, "summary": sum_up(rows)}
    page = write_results(options, results)
    say_table(results)
    if options.markdown:
        print("\n" + markdown(results))
    say_end(options, results, page)
    if len(rows) < planned:
        return 130
    return 1 if results["summary"]["failed"] else 0


def main():
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description="Runs pawl_bench; bench/run is the way to it.")
    parser.add_argument("--program", help="pawl_bench")
    parser.add_argument("--scale", choices=tuple(BUDGET_S), default="quick")
    parser.add_argument("--rows", default="", metavar="REGEX")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS_MIN)
    parser.add_argument("--out", help="a folder for the results")
    parser.add_argument("--command", default="bench/suite.py", help="what to record as the command")
    parser.add_argument("--timeout", type=float, help="seconds for one row")
    parser.add_argument("--settle", type=float, default=20, help="seconds to wait for quiet")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--from", dest="results", help="results to show instead of measuring")
    options = parser.parse_args()
    options.timeout = options.timeout or TIMEOUT_S[options.scale]
    if options.results:
        return show(options)
    if not options.program or not options.out:
        parser.error("--program and --out are needed")
    if options.repetitions < REPETITIONS_MIN:
        parser.error(f"a figure needs {REPETITIONS_MIN} repetitions at least")
    try:
        re.compile(options.rows)
    except re.error as error:
        parser.error(f"--rows: {error}")
    return run(options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
