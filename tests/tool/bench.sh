#!/usr/bin/env bash
# bench.sh - what bench/run's Python makes of a pawl_bench: a stand-in with known figures runs in
# its place. The records, the report's HTML, and what bench/compare calls faster, slower and noise.
set -u

cd -- "${PAWL_SOURCE:?is not set: the folder of the sources}" || exit 1
command -v python3 >/dev/null || { echo "bench.sh: there is no python3" && exit 77; }
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failures=0

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    sed 's/^/  | /' "$scratch/out" "$scratch/err" >&2
    failures=$((failures + 1))
}

# run STATUS COMMAND...: runs it and checks its exit status.
run() {
    local wanted=$1
    shift
    "$@" >"$scratch/out" 2>"$scratch/err"
    local status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: exit status $status, not $wanted"
}

# says TEXT, complains TEXT: the last run printed this, as it stands.
says() {
    grep -qF -- "$1" "$scratch/out" || fail "no \"$1\" in the output"
}

complains() {
    grep -qF -- "$1" "$scratch/err" || fail "no \"$1\" in the error message"
}

# line REGEX: the last run printed such a line.
line() {
    grep -qE -- "$1" "$scratch/out" || fail "no line like \"$1\" in the output"
}

# holds FILE EXPRESSION: of results.json as r and its rows by name as rows.
holds() {
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1], encoding="utf-8"))
rows = {row["name"]: row for row in r["rows"]}
sys.exit(0 if eval(sys.argv[2]) else 1)' "$1" "$2" 2>"$scratch/err" ||
        fail "$(basename "$(dirname "$1")"): not so: $2"
}

run 0 python3 -W error -c '
import pathlib, sys
for name in sys.argv[1:]:
    compile(pathlib.Path(name).read_text(encoding="utf-8"), name, "exec")' \
    bench/suite.py bench/report.py bench/compare

# The stand-in. Figures are base * (1 + round / 1000); DRIFT is the machine's mood, PAWL is Pawl's
# own, LINE how far the cores are.
cat >"$scratch/pawl_bench" <<'PYTHON'
#!/usr/bin/env -S python3 -ES
import json, os, sys, time

def contenders(*names, absent=()):
    return [{"name": n, "semantics": f"what <{n}> & \"others\" promise",
             "absent": "libtbb-dev" if n in absent else ""} for n in names]

def row(name, metric="rate", unit="step", goal=0, of="", size=0, less=False, cross=False,
        full=False, group="", names=("pawl", "limit", "ring", "mutex"), absent=()):
    return {"name": name, "title": f"title of <{name}>", "group": group, "unit": unit,
            "metric": metric, "size": size, "less_is_better": less, "cross_core": cross,
            "full_only": full, "goal": goal, "goal_of": of,
            "contenders": contenders(*names, absent=absent)}

ROWS = [row("steps-1k", goal=9e7, size=1000, group="steps"),
        row("steps-1M", goal=0.9, of="limit", size=1000000, group="steps", cross=True),
        row("steps-1G", size=1000000000, group="steps", full=True),
        row("timer", "ns", "timer", goal=2, of="best", less=True,
            names=("pawl", "pawl-batch", "limit", "ring", "tbb"), absent=("tbb",)),
        row("memory", "bytes", "task", goal=99, less=True, names=("pawl", "ring")),
        row("latency", "p99_ns", "post", goal=2, of="tbb", less=True,
            names=("pawl", "ring", "tbb"), absent=("tbb",)),
        row("alone", names=("pawl",)),
        row("loses"), row("dies"), row("hangs"), row("silent", "nothing")]
BASE = {"pawl": 1e8, "pawl-batch": 1.6e8, "limit": 2e8, "bare": 2e8, "ring": 4e7, "mutex": 1e7}
options = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:] if "=" in a)
if "--rows" in sys.argv:
    print(json.dumps(ROWS))
    sys.exit()
name = options["benchmark_filter"].strip("^/")
chosen = next(r for r in ROWS if r["name"] == name)
if options["scale"] != "smoke":
    if name == "loses":
        sys.exit("pawl_bench: an item was lost")
    if name == "dies":
        os.abort()
    if name == "hangs":
        child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
        open(os.environ["CHILD"], "w").write(str(child))
        time.sleep(1000)
entries = []
for c in chosen["contenders"]:
    if c["absent"]:
        continue
    for i in range(int(options["benchmark_repetitions"])):
        speed = BASE[c["name"]] * (1 + i / 1000) * float(os.environ.get("DRIFT", 1))
        if c["name"] == "pawl":
            speed *= float(os.environ.get("OURS", 1))
        ns = 1e9 / speed
        entries.append({"name": f"{name}/{c['name']}/iterations:1/manual_time",
                        "run_type": "iteration", "repetition_index": i, "time_unit": "ns",
                        "real_time": 1.0, "items_per_second": speed, "ns": ns, "bytes": 6.5 * ns,
                        "p50_ns": ns, "p99_ns": 7 * ns, "p99_9_ns": 30 * ns, "max_ns": 99 * ns})
        if chosen["cross_core"]:
            entries[-1]["line_ns"] = float(os.environ.get("LINE", 100)) + i
    entries.append({"name": f"{name}/{c['name']}_median", "run_type": "aggregate"})
context = {"processor": os.environ.get("PROCESSOR", "stand-in"), "cpus": "2", "kernel": "6.0",
           "memory_gb": "8.0", "governor": "performance", "huge_pages": "[always]",
           "compiler": "gcc", "line_ns": "100", "pawl": "1.2.3", "host_name": "secret",
           "caches": [{"type": "Data", "level": 1, "size": 32768, "num_sharing": 1}]}
with open(options["benchmark_out"], "w") as file:
    json.dump({"context": context, "benchmarks": entries}, file)
PYTHON
chmod +x "$scratch/pawl_bench"
export CHILD=$scratch/child

# suite STATUS NAME ARGUMENT...: a run of the suite whose results are $scratch/NAME/results.json
suite() {
    local wanted=$1 name=$2
    shift 2
    run "$wanted" python3 bench/suite.py --program "$scratch/pawl_bench" --settle 0 \
        --out "$scratch/$name" "$@"
}

# ---- all rows, good and bad ----------------------------------------------------------------------

suite 1 all --timeout 2
all=$scratch/all/results.json
says "absent peers: tbb (libtbb-dev)"
says "tools/setup peers"
says "bench: 10 rows, 3 goals met, 1 missed, 1 unknown here, 4 failed; report at $scratch/all/rep"
says "[ 1/10] steps-1k"
line '^loses +FAILED +an item was lost$'
holds "$all" 'r["format"] == 1 and r["version"] == "1.2.3" and r["skipped"] == ["steps-1G"]'
holds "$all" '"host_name" not in r["machine"] and r["machine"]["processor"] == "stand-in"'
holds "$all" 'rows["loses"]["status"] == "failed" and "item was lost" in rows["loses"]["error"]'
holds "$all" 'rows["dies"]["status"] == "failed" and "SIGABRT" in rows["dies"]["error"]'
holds "$all" 'rows["hangs"]["status"] == "timeout" and rows["hangs"]["seconds"] < 60'
holds "$all" 'rows["silent"]["status"] == "failed" and "no nothing" in rows["silent"]["error"]'
holds "$all" 'len({row["run"] for row in r["rows"]}) == 10'
# What a row started must not run on beside the next.
child=$(cat "$CHILD" 2>/dev/null)
for ((i = 0; i < 50; i++)); do
    state=$(sed 's/.*) //; s/ .*//' "/proc/${child:-0}/stat" 2>/dev/null)
    case ${state:-gone} in Z | gone) break ;; esac
    sleep 0.1
done
case ${state:-gone} in Z | gone) ;; *) fail "a row's child outlives it" ;; esac
[ -n "$child" ] || fail "the row that hangs did not run"

# Ratios are of medians within the row, above 1 where Pawl is better.
near() { # ROW NAME RATIO
    holds "$all" "abs(rows['$1']['ratios']['$2']['ratio'] / $3 - 1) < 1e-9"
}
near steps-1k limit 0.5
near steps-1k ring 2.5
near timer limit 0.5
near timer ring 2.5
near timer pawl-batch 0.625
near memory ring 2.5
near latency ring 2.5
holds "$all" 'all(v["low"] <= v["ratio"] <= v["high"] for v in rows["timer"]["ratios"].values())'
holds "$all" 'rows["timer"]["best_peer"] == "ring" and rows["timer"]["ours"] == "pawl"'
holds "$all" '[c["kind"] for c in rows["timer"]["contenders"][1:4]] == ["ours", "limit", "peer"]'
holds "$all" 'rows["alone"]["ratios"] == {} and rows["alone"]["goal_result"] is None'
holds "$all" 'rows["steps-1k"]["goal_result"]["reached"] is True'
holds "$all" 'rows["steps-1M"]["goal_result"]["reached"] is False'
holds "$all" 'rows["timer"]["goal_result"]["reached"] is True'
holds "$all" 'rows["memory"]["goal_result"]["reached"] is True'
holds "$all" 'rows["latency"]["goal_result"]["reached"] is None'
holds "$all" 'rows["steps-1M"]["line_ns"]["median"] == 102 and rows["steps-1k"]["line_ns"] is None'
holds "$all" 'rows["steps-1M"]["line_ns"]["place"] == "near"'
holds "$all" 'len(rows["timer"]["contenders"][0]["samples"]) == 5'
holds "$all" 'abs(rows["steps-1k"]["contenders"][0]["median"] / 1.002e8 - 1) < 1e-9'
holds "$all" 'abs(rows["steps-1k"]["contenders"][0]["mad_percent"] - 0.1) < 0.01'

run 0 bench/run --from "$all"
line '^timer +9.98 ns +0.50× +2.50× ring +≥ 2× the best peer +met 2.50×$'
run 0 bench/run --from "$all" --markdown
says '| title of <steps-1M> | 100 M steps/s | ≥ 0.9× the limit | missed 0.50× | 0.50× | 2.50× ring'
says '| title of <memory> | 64.9 B | ≤ 99 B | met | – | 2.50× ring |'

# ---- the report ----------------------------------------------------------------------------------

run 0 python3 - "$scratch/all/report.html" <<'PYTHON'
import html.parser, re, sys

class Page(html.parser.HTMLParser):
    """Checks that elements close in order, and gathers what must fit together."""

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.targets, self.seen = [], [], [], []

    def handle_starttag(self, name, attributes):
        self.note(name, dict(attributes))
        if name not in ("meta", "br"):
            self.stack.append(name)

    def handle_startendtag(self, name, attributes):
        self.note(name, dict(attributes))

    def handle_endtag(self, name):
        assert self.stack and self.stack[-1] == name, f"</{name}> in {self.stack} {self.getpos()}"
        self.stack.pop()

    def note(self, name, attributes):
        self.seen.append(name)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.targets += [attributes["href"]] if "href" in attributes else []
        assert "src" not in attributes and not any(key.startswith("on") for key in attributes)
        if name == "svg":
            assert "aria-label" in attributes or "aria-hidden" in attributes or "role" in attributes

text = open(sys.argv[1], encoding="utf-8").read()
page = Page()
page.feed(text)
page.close()
assert not page.stack, page.stack
assert len(set(page.ids)) == len(page.ids), "an id is there twice"
assert all(target.startswith("#") and target[1:] in page.ids for target in page.targets)
assert {"summary", "overview", "sizes", "machine", "rows", "method", "row-timer"} <= set(page.ids)
assert "script" not in page.seen and "link" not in page.seen and "img" not in page.seen
assert not re.search(r"https?:|url\(|@import", text), "the page asks for something outside"
assert "prefers-color-scheme" in text and 'name="viewport"' in text
assert page.seen.count("figure") >= 2 and page.seen.count("polyline") > 8
assert "<steps-1k>" not in text and "what &lt;pawl&gt; &amp; &quot;others&quot; promise" in text
assert "nan" not in re.findall(r'(?:x|y|cx|x1|width|points)="([^"]*)"', text)
for wanted in ("absent: libtbb-dev", "an item was lost", "✗ missed", "✓ met", "99.9 %", "near"):
    assert wanted in text, wanted
PYTHON
run 0 python3 bench/report.py "$all" "$scratch/again.html"
cmp -s "$scratch/again.html" "$scratch/all/report.html" || fail "report.py writes another page"
run 1 python3 bench/report.py "$scratch/none.json"
complains "cannot read results"

# ---- what is wrong -------------------------------------------------------------------------------

suite 0 one --rows '^alone$'
says "bench: 1 rows, 0 goals met, 0 missed, 0 failed"
suite 2 none --repetitions 4
complains "needs 5 repetitions at least"
suite 2 none --rows '('
suite 1 none --rows nonesuch
complains "no row matches 'nonesuch'"
run 1 python3 bench/suite.py --program "$scratch/nothing" --out "$scratch/none"
complains "does not list its rows"
run 0 bench/run --help
says "--repetitions N"
run 2 bench/run --nonsense
complains "unknown argument '--nonsense'"
run 2 bench/run --rows
complains "--rows wants a value"

# ---- comparing -----------------------------------------------------------------------------------

fair='^(steps|timer|memory|latency)'
compare() {
    local wanted=$1
    shift
    run "$wanted" bench/compare "$@"
}
result() {
    echo "$scratch/$1/results.json"
}
# edit FROM TO STATEMENT: a copy of results with something changed.
edit() {
    mkdir -p "$scratch/$2"
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1], encoding="utf-8"))
rows = {row["name"]: row for row in r["rows"]}
exec(sys.argv[3])
json.dump(r, open(sys.argv[2], "w", encoding="utf-8"))' "$(result "$1")" "$(result "$2")" "$3" ||
        fail "cannot edit $1"
}

suite 0 base --rows "$fair"
base=$(result base)
compare 0 "$base" "$base"
line '^steps-1k +pawl +0.50× limit +0.50× limit +\+0.0% +noise$'
line '^memory +pawl +2.50× ring +2.50× ring '
says "compare: 6 noise"

# The machine's mood is in both sides of a ratio; Pawl's own change is not.
DRIFT=0.6 suite 0 drift --rows "$fair"
compare 0 "$base" "$(result drift)"
says "compare: 6 noise"
OURS=0.9 suite 0 slow --rows "$fair"
compare 1 "$base" "$(result slow)"
line '^steps-1k +pawl +0.50× limit +0.45× limit +-10.0% +slower$'
line '^timer +pawl .* -10.0% +slower$'
line '^timer +pawl-batch .* noise$'
line '^memory +pawl .* -10.0% +worse$'
OURS=1.1 DRIFT=0.7 suite 0 fast --rows "$fair"
compare 0 "$base" "$(result fast)"
line '^timer +pawl .* \+10.0% +faster$'
line '^memory +pawl .* better$'
compare 0 "$base" "$(result fast)" --effect 11
says "compare: 6 noise"
OURS=0.98 suite 0 little --rows "$fair"
compare 0 "$base" "$(result little)"
LINE=300 OURS=0.5 suite 0 far --rows 1M
compare 0 "$base" "$(result far)"
line '^steps-1M +pawl .* unknown: the cores were 102 and 302 ns apart$'
line '^timer +only in the old$'

# Nothing to divide by, too few rounds, and wide rounds.
DRIFT=0.5 suite 0 alone --rows '^alone$'
compare 1 "$(result one)" "$(result alone)"
line '^alone +pawl +100 M steps/s +50.1 M steps/s +-50.0% +slower \(absolute, machine may differ\)$'
edit slow few 'for c in rows["timer"]["contenders"]: c["samples"] = c["samples"][1:]'
compare 1 "$base" "$(result few)"
line '^timer +pawl .* -1.+ unknown: too few samples$'
edit slow wide 'rows["timer"]["contenders"][0]["samples"][0]["value"] /= 2'
compare 1 "$base" "$(result wide)"
line '^timer +pawl .* noise$'
edit base failing 'rows["timer"].update(status="failed", error="lost one")'
compare 1 "$base" "$(result failing)"
line '^timer .* fails now: lost one$'
compare 0 "$(result failing)" "$base"

# What must not be compared.
PROCESSOR=other suite 0 other --rows "$fair"
compare 2 "$base" "$(result other)"
complains "the machines differ (processor: stand-in and other)"
complains "refused"
compare 0 "$base" "$(result other)" --force
says "compare: 6 noise"
suite 0 full --scale full --rows "$fair"
compare 2 "$base" "$(result full)"
complains "the scales differ: quick and full"
suite 0 smoke --scale smoke --rows "$fair"
says "its figures mean nothing"
compare 2 "$(result smoke)" "$(result smoke)"
edit base moved 'rows["timer"]["size"] = 7'
compare 2 "$base" "$(result moved)"
complains "row timer is another one (size: 0 and 7)"
edit base changed 'r["suite"] = "x"'
compare 0 "$base" "$(result changed)"
complains "sources differ"
compare 2 "$base" "$scratch/none.json"
compare 2 "$base" "$scratch/pawl_bench"
compare 0 --help
says "Mann-Whitney"

[ "$failures" -eq 0 ] || exit 1
echo "bench: all as it should be"
