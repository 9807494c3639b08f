"""Makes one HTML file of results.json: no scripts, no other files, light and dark.

    python3 bench/report.py RESULTS.json [REPORT.html]

What the fields mean stands at the head of suite.py; nothing is computed here that is not there but
the positions of things. Bars and dots in tables are small SVGs in percent, so that they give way on
a narrow screen while their text does not shrink; curves are SVGs with their figures in a table
beside them. The helpers for figures are also the terminal's (suite.py, compare).
"""
import json
import math
import re
import sys
from html import escape
from pathlib import Path

PEER_COLOURS = 7
PERCENTILE = re.compile(r"p(\d+)(?:_(\d+))?_ns")
TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))


# ---- Figures as text -----------------------------------------------------------------------------


def digits(value):
    """Three significant digits, without an exponent where that is short."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4 or magnitude > 14:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - magnitude)}f}"


def scaled(value, scales):
    """A value with the prefix or unit that suits it."""
    for scale, name in scales:
        if abs(value) >= scale * 0.9995:
            return digits(value / scale), name
    return digits(value / scales[-1][0]), scales[-1][1]


def is_time(name):
    """Whether a counter or metric is a time in ns."""
    return name == "ns" or name.endswith("_ns")


def figure(value, metric, unit=""):
    """A value of a metric or counter, for people; a rate without its unit where that is said."""
    if value is None:
        return "–"
    if is_time(metric):
        return " ".join(scaled(value, TIMES))
    if "percent" in metric:
        return f"{digits(value)} %"
    text, name = scaled(value, PREFIXES)
    if metric == "rate" and unit:
        return f"{text} {name + ' ' if name else ''}{unit}s/s"
    if "bytes" in metric:
        return f"{text} {name}B"
    return f"{text} {name}".rstrip()


def figures(low, high, metric):
    """A range; the unit is said once where both ends have it."""
    if low is None or high is None:
        return "–"
    first, last = figure(low, metric), figure(high, metric)
    number, _, unit = first.partition(" ")
    return f"{number if unit and last.endswith(' ' + unit) else first} – {last}"


def row_figure(row, value):
    """A value of a row's metric."""
    return figure(value, row["metric"], row["unit"])


def trimmed(text):
    """A number without zeros that say nothing: 60.0 M is 60 M."""
    return re.sub(r"^([0-9]+)\.0+(?=[^0-9]|$)|^([0-9]+\.[0-9]*[1-9])0+(?=[^0-9]|$)", r"\1\2", text)


def times(ratio):
    """A ratio; two digits after the point where that is enough."""
    if ratio is None:
        return "–"
    return f"{ratio:.2f}×" if 0.0995 <= ratio < 9.995 else f"{digits(ratio)}×"


def contender_of(row, name):
    """The contender of that name, or None."""
    return next((c for c in row["contenders"] if c["name"] == name), None)


def ratio_to(row, name):
    """Pawl's ratio to a contender of its row, or None."""
    entry = row["ratios"].get(name)
    return entry and entry["ratio"]


def goal_text(row):
    """What a row should reach."""
    if not row["goal"]:
        return ""
    if not row["goal_of"]:
        sign = "≤" if row["less_is_better"] else "≥"
        return f"{sign} {trimmed(row_figure(row, row['goal']))}"
    of = {"limit": "the limit", "best": "the best peer"}.get(row["goal_of"], row["goal_of"])
    return f"≥ {trimmed(times(row['goal']))} {of}"


def verdict_text(row):
    """Whether it did."""
    if row["status"] != "ok":
        return "failed"
    result = row["goal_result"]
    if not result:
        return ""
    if result["reached"] is None:
        return "unknown here"
    return "met" if result["reached"] else "missed"


def reached_text(row):
    """The ratio that a goal asks for, as it is; a goal for Pawl's own figure has that beside it."""
    result = row["goal_result"]
    return times(result["value"]) if result and result["value"] and row["goal_of"] else ""


def title_of(row):
    """A row's title, as the beginning of a line."""
    return escape(row["title"][:1].upper() + row["title"][1:])


def row_cells(row):
    """A row's main figures as text: figure, limit, best, goal, verdict, reached."""
    ours = contender_of(row, row["ours"])
    best = times(ratio_to(row, row["best_peer"]))
    return {"figure": row_figure(row, ours and ours["median"]),
            "limit": times(ratio_to(row, row["limit"])),
            "best": f"{best} {row['best_peer']}" if row["best_peer"] else "–",
            "goal": goal_text(row), "verdict": verdict_text(row), "reached": reached_text(row)}


# ---- HTML ----------------------------------------------------------------------------------------

VOID = ("br", "meta", "circle", "rect", "line", "path", "polyline", "polygon")


def tag(name, content="", **attributes):
    """An element; content is HTML already. A trailing _ of an attribute is dropped, _ becomes -."""
    text = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
                   for key, value in attributes.items() if value is not None)
    if name in VOID:
        return f"<{name}{text}>" if name in ("br", "meta") else f"<{name}{text}/>"
    return f"<{name}{text}>{content}</{name}>"


def table(head, rows, caption, numeric=(), kind=None):
    """A table in a box that scrolls on a narrow screen. Cells are HTML; numeric: right-aligned."""
    def line(name, cells):
        scope = "col" if name == "th" else None
        return tag("tr", "".join(tag(name, cell, scope=scope, class_="n" if i in numeric else None)
                                 for i, cell in enumerate(cells)))
    inner = (tag("caption", caption) + tag("thead", line("th", head))
             + tag("tbody", "".join(line("td", row) for row in rows)))
    return tag("div", tag("table", inner, class_=kind), class_="scroll", tabindex="0",
               role="region", aria_label=re.sub(r"<[^>]*>", "", caption))


def link_to(row):
    """A row's name, leading to its section."""
    return tag("a", escape(row["name"]), href="#row-" + row["name"])


def mark(verdict):
    """A verdict with a sign, so that colour is not all."""
    sign = {"met": "✓", "missed": "✗", "failed": "✗"}.get(verdict, "·")
    kind = {"met": "good", "missed": "bad", "failed": "bad"}.get(verdict, "dim")
    return tag("span", f"{sign} {verdict}", class_="mark " + kind) if verdict else ""


# ---- Small graphics in tables --------------------------------------------------------------------


def strip(content, label, height=18):
    """A graphic as wide as its cell, in percent."""
    return tag("svg", tag("title", escape(label)) + content, class_="strip", role="img",
               width="100%", height=height, aria_label=label)


def line_at(x, low, high, kind):
    """A vertical line at x percent."""
    return tag("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=low, y2=high, class_=kind)


def span_at(x1, x2, y, kind):
    """A horizontal line."""
    return tag("line", x1=f"{x1:.2f}%", x2=f"{x2:.2f}%", y1=y, y2=y, class_=kind)


def dot_at(x, kind, y=9, radius=4):
    """A dot at x percent."""
    return tag("circle", cx=f"{x:.2f}%", cy=y, r=radius, class_=kind)


def log_scale(values, around=None):
    """From positive values to percents, with a little room: (function, low, high)."""
    values = list(values) + ([around] if around else [])
    low, high = min(values) / 1.15, max(values) * 1.15
    if high / low < 2:
        low, high = low / 1.3, high * 1.3
    span = math.log(high / low)
    return (lambda v: 2 + 96 * math.log(v / low) / span), low, high


def ratio_bar(entry, at, contender):
    """Pawl beside one contender: a bar from 1, right where Pawl is ahead, and how rounds spread."""
    ratio, name = entry["ratio"], contender["name"]
    one, end = at(1), at(ratio)
    kind = ("ahead" if ratio >= 1 else "behind") if contender["kind"] == "peer" else "aside"
    bar = tag("rect", x=f"{min(one, end):.2f}%", width=f"{abs(end - one):.2f}%", y=4, height=10,
              class_=kind)
    spread = span_at(at(entry["low"]), at(entry["high"]), 9, "whisker")
    return strip(bar + line_at(one, 0, 18, "axis") + spread,
                 f"Pawl is at {times(ratio)} of {name}; rounds {times(entry['low'])} to "
                 f"{times(entry['high'])}")


def rounds_strip(row, contender, low, high):
    """Each round of a contender as a dot on the axis that all contenders of the row share."""
    values = [s["value"] for s in contender["samples"] if s["value"] is not None]
    if not values:
        return ""
    at = strip_scale(low, high)
    dots = "".join(dot_at(at(value), "round", radius=3) for value in values)
    texts = ", ".join(row_figure(row, value) for value in values)
    middle = line_at(at(contender["median"]), 2, 16, "axis")
    return strip(span_at(0, 100, 9, "grid") + dots + middle, f"rounds: {texts}")


def strip_scale(low, high):
    """Linear from zero, or logarithmic where that would crush the small ones."""
    if low > 0 and high / low > 8:
        return log_scale((low, high))[0]
    low = min(low, 0)
    return lambda v: 2 + 96 * (v - low) / ((high - low) or 1)


# ---- Curves --------------------------------------------------------------------------------------

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 40


def nice_ticks(low, high, count=5):
    """Round numbers between two values."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= count)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low, high):
    """Powers of ten between two values; with 2 and 5 where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5)):
        found = [m * 10.0 ** p for p in powers for m in steps if low <= m * 10.0 ** p <= high]
        if len(found) >= 3:
            return found
    return found


def series_class(name, kind, index):
    """The class that gives a series its colour, and its line its dashes."""
    if kind == "peer":
        return f"peer{index % PEER_COLOURS}" + (" dash" if index >= PEER_COLOURS else "")
    return "ours" + (" dash" if name != "pawl" else "") if kind == "ours" else "limit dash"


def marker(x, y, shape, kind):
    """A point of a series: its shape tells it apart without its colour."""
    if shape == 0:
        return tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4.5, class_="point " + kind)
    if shape == 1:
        return tag("rect", x=f"{x - 4:.1f}", y=f"{y - 4:.1f}", width=8, height=8,
                   class_="point " + kind)
    corners = {2: ((0, -5), (5, 4), (-5, 4)), 3: ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)),
               4: ((0, 5), (5, -4), (-5, -4))}[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return tag("polygon", points=points, class_="point " + kind)


def order_series(series):
    """Ours first, then the limits, then peers; each with its class and shape."""
    order = sorted(series, key=lambda s: ("ours", "limit", "peer").index(s["kind"]))
    peers = 0
    for entry in order:
        entry["class"] = series_class(entry["name"], entry["kind"], peers)
        entry["shape"] = {"ours": 0, "limit": 1}.get(entry["kind"], 2 + peers % 3)
        peers += entry["kind"] == "peer"
    return order


def axis_text(x, y, text, anchor, extra=""):
    """A label of an axis."""
    return tag("text", escape(text), x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor,
               class_=("label " + extra).strip())


def axes(x_ticks, y_ticks, x_at, y_at, titles):
    """Grid and labels; ticks are (value, text)."""
    out = [tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y_at(v):.1f}", y2=f"{y_at(v):.1f}",
               class_="grid") + axis_text(LEFT - 7, y_at(v) + 4, text, "end")
           for v, text in y_ticks]
    out += [tag("line", x1=f"{x_at(v):.1f}", x2=f"{x_at(v):.1f}", y1=HEIGHT - BOTTOM,
                y2=HEIGHT - BOTTOM + 4, class_="axis")
            + axis_text(x_at(v), HEIGHT - BOTTOM + 17, text, "middle") for v, text in x_ticks]
    out.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM,
                   class_="axis"))
    out.append(axis_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, titles[0], "middle", "title"))
    return "".join(out)


def curve(entry, x_at, y_at):
    """One series: a line and its points."""
    points = [(x_at(x), y_at(y)) for x, y in entry["points"]]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("g", tag("title", escape(entry["name"]))
               + tag("polyline", points=path, class_="series " + entry["class"])
               + "".join(marker(x, y, entry["shape"], entry["class"]) for x, y in points))


def legend(series):
    """The names, with the same signs."""
    return tag("div", "".join(tag("span", tag("svg", span_path(entry) + marker(
        14, 8, entry["shape"], entry["class"]), width=28, height=16, aria_hidden="true",
        class_="key") + escape(entry["name"])) for entry in series), class_="legend")


def span_path(entry):
    """The legend's piece of line."""
    return tag("line", x1=0, x2=28, y1=8, y2=8, class_="series " + entry["class"])


def plot(title, series, x_scale, y_scale, titles):
    """A figure of curves. A scale is (function from 0 to 1, ticks with their texts)."""
    series = order_series(series)
    x_to, x_ticks = x_scale
    y_to, y_ticks = y_scale

    def x_at(value):
        return LEFT + 12 + x_to(value) * (WIDTH - LEFT - RIGHT - 24)

    def y_at(value):
        return HEIGHT - BOTTOM - y_to(value) * (HEIGHT - BOTTOM - TOP)
    label = f"{title}: {titles[1]} by {titles[0]}; the figures are in the table"
    drawn = axes(x_ticks, y_ticks, x_at, y_at, titles)
    drawn += "".join(curve(entry, x_at, y_at) for entry in reversed(series))
    svg = tag("svg", tag("title", escape(label)) + drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}",
              class_="plot", role="img", aria_label=label)
    caption = tag("figcaption", f"{tag('b', escape(title))} {escape(titles[1])}")
    return tag("figure", caption + svg + legend(series))


def log_axis(values, text, room=1.0):
    """A log scale over values, from a little below to a little above."""
    low, high = min(values) / room, max(values) * room
    if low == high:
        low, high = low / 2, high * 2
    span = math.log(high / low)
    return (lambda v: math.log(v / low) / span), [(t, text(t)) for t in log_ticks(low, high)]


def linear_axis(values, text):
    """A linear scale from zero."""
    high = max(values) * 1.06 or 1
    return (lambda v: v / high), [(t, text(t)) for t in nice_ticks(0, high)]


def value_axis(values, text, title):
    """Linear, or logarithmic where the range would crush the small ones: (scale, title)."""
    if min(values) > 0 and max(values) / min(values) > 15:
        return log_axis(values, text, 1.3), title + " (log)"
    return linear_axis(values, text), title


def size_text(value):
    """A number of tasks."""
    return trimmed(figure(value, ""))


def group_rows(rows):
    """Rows of one group and metric with two sizes or more: [(group, rows by size)]."""
    groups = {}
    for row in rows:
        if row["group"] and row["size"] and row["status"] == "ok":
            groups.setdefault((row["group"], row["metric"]), []).append(row)
    return [(name, sorted(found, key=lambda row: row["size"]))
            for (name, _), found in groups.items() if len({row["size"] for row in found}) > 1]


def group_series(rows):
    """For each contender its medians by size."""
    series = {}
    for row in rows:
        for contender in row["contenders"]:
            if contender["median"] is not None and contender["median"] >= 0:
                entry = series.setdefault(contender["name"], {
                    "name": contender["name"], "kind": contender["kind"], "points": []})
                entry["points"].append((row["size"], contender["median"]))
    return list(series.values())


def group_plot(name, rows):
    """How a group's figures change with the size, as curves and as a table."""
    first = rows[0]
    series = group_series(rows)
    values = [y for entry in series for _, y in entry["points"]]
    if not values:
        return ""
    what = first["unit"] + "s/s" if first["metric"] == "rate" else first["metric"].replace("_", " ")
    scale, title = value_axis(values, lambda v: trimmed(figure(v, first["metric"])), what)
    drawn = plot(name, series, log_axis([row["size"] for row in rows], size_text), scale,
                 ("size (log)", title))
    lines = []
    for row in rows:
        medians = {c["name"]: c["median"] for c in row["contenders"]}
        lines.append([tag("a", size_text(row["size"]), href="#row-" + row["name"])] + [
            figure(medians.get(entry["name"]), row["metric"]) for entry in series])
    heads = ["size"] + [escape(entry["name"]) for entry in series]
    caption = f"{escape(name)}, {escape(what)}: medians by size"
    return tag("div", drawn + table(heads, lines, caption, range(len(heads))), class_="pair")


def percentiles_of(contender):
    """[(share, ns)] of the counters that are percentiles."""
    found = []
    for name, value in contender["counters"].items():
        match = PERCENTILE.fullmatch(name)
        if match and value and value > 0:
            share = float(f"{match.group(1)}.{match.group(2) or 0}") / 100
            if share < 1:
                found.append((share, value))
    return sorted(found)


def share_text(share):
    """A percentile's name."""
    return f"{100 * share:.4f}".rstrip("0").rstrip(".") + " %"


def percentile_plot(row):
    """The latencies of a row's contenders: percentiles, spaced by their nines."""
    series = [{"name": c["name"], "kind": c["kind"], "points": percentiles_of(c)}
              for c in row["contenders"]]
    series = [entry for entry in series if len(entry["points"]) > 1]
    if not series:
        return ""
    shares = sorted({share for entry in series for share, _ in entry["points"]})
    values = [ns for entry in series for _, ns in entry["points"]]
    low, high = -math.log10(1 - shares[0]), -math.log10(1 - shares[-1])
    x_scale = ((lambda s: (-math.log10(1 - s) - low) / ((high - low) or 1)),
               [(share, share_text(share)) for share in shares])
    y_scale = log_axis(values, lambda v: trimmed(figure(v, "ns")), 1.3)
    drawn = plot("Latency", series, x_scale, y_scale, ("percentile", "time (log)"))
    lines = [[escape(entry["name"])] + [
        figure(dict(entry["points"]).get(share), "ns") for share in shares] for entry in series]
    heads = ["contender"] + [share_text(share) for share in shares]
    return tag("div", drawn + table(heads, lines, "Percentiles, medians of the rounds",
                                    range(1, len(heads))), class_="pair")


# ---- Sections ------------------------------------------------------------------------------------


def goal_strip(row):
    """How much of its goal a row reached: the line is the goal."""
    share = row["goal_result"] and row["goal_result"]["share"]
    if not share:
        return ""
    kind = "ahead" if share >= 1 else "behind"
    bar = tag("rect", x="0%", width=f"{min(100, 50 * share):.2f}%", y=4, height=10, class_=kind)
    return strip(bar + line_at(50, 0, 18, "axis"), f"{share:.0%} of the goal")


def plural(count, word):
    """A number of things."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def summary_text(results):
    """The findings in a sentence or two."""
    counts = results["summary"]
    done = [row for row in results["rows"] if row["status"] == "ok"]
    beside = [row for row in done if ratio_to(row, row["best_peer"])]
    ahead = sum(ratio_to(row, row["best_peer"]) >= 1 for row in beside)
    judged = counts["met"] + counts["missed"]
    parts = [f"{plural(counts['rows'], 'row')} measured."]
    if judged:
        parts.append(f"Of {plural(judged, 'goal')}, {counts['met']} met.")
    if beside:
        parts.append(f"Pawl is ahead of the best peer in {ahead} of the {len(beside)} rows that "
                     "have one.")
    if counts["failed"]:
        parts.append(tag("b", f"{plural(counts['failed'], 'row')} failed."))
    if counts["unknown"]:
        parts.append(f"{plural(counts['unknown'], 'goal')} cannot be judged: the peer is absent.")
    if results["scale"] == "smoke":
        parts.append(tag("b", "This was a smoke run: its figures mean nothing."))
    return tag("p", " ".join(parts), class_="lead")


def tiles(results):
    """The counts, large."""
    counts = results["summary"]
    shown = [(counts["met"], "goals met", "good"), (counts["missed"], "missed", "bad"),
             (counts["rows"], "rows", ""), (counts["failed"], "failed", "bad")]
    return tag("div", "".join(
        tag("div", tag("b", value, class_=kind if value else None) + tag("span", name))
        for value, name, kind in shown), class_="tiles")


def summary_section(results):
    """Goals and failures."""
    rows = [row for row in results["rows"] if row["goal"] and row["status"] == "ok"]
    out = summary_text(results) + tiles(results)
    lines = []
    for row in rows:
        cells = row_cells(row)
        lines.append([link_to(row) + tag("small", title_of(row)), escape(cells["figure"]),
                      escape(cells["goal"]), mark(cells["verdict"]) + " " + cells["reached"],
                      goal_strip(row),
                      cells["limit"], escape(cells["best"])])
    if lines:
        heads = ["row", "Pawl", "goal", "verdict", "reached", "of the limit", "of the best peer"]
        out += table(heads, lines, "The rows with a goal. The line in each bar is the goal.",
                     (1, 5), "wide goals")
    failed = [[link_to(row), escape(row["error"])] for row in results["rows"]
              if row["status"] != "ok"]
    if failed:
        out += table(["row", "why"], failed, "Rows that failed")
    if results["skipped"]:
        out += tag("p", f"Left out at this scale: {escape(', '.join(results['skipped']))}.",
                   class_="dim")
    return section("summary", "Summary", out)


def overview_axis(at, low, high):
    """The head of the overview's graphic."""
    ticks = [t for t in log_ticks(low, high) if 4 < at(t) < 96]
    ticks = [t for t in ticks if abs(math.log10(t) % 1) < 1e-6 or len(ticks) < 8]
    texts = "".join(tag("text", trimmed(times(t)), x=f"{at(t):.2f}%", y=13, text_anchor="middle",
                        class_="label") for t in ticks)
    title = tag("title", "Pawl beside the limit and the best peer")
    return tag("svg", title + texts, class_="strip", width="100%", height=18, role="img")


def overview_section(results):
    """All rows on one axis: Pawl beside the limit and beside the best peer."""
    rows = [row for row in results["rows"]
            if ratio_to(row, row["limit"]) or ratio_to(row, row["best_peer"])]
    if not rows:
        return ""
    found = [ratio for row in rows for ratio in (ratio_to(row, row["limit"]),
                                                 ratio_to(row, row["best_peer"])) if ratio]
    at, low, high = log_scale(found, 1)
    lines = []
    for row in rows:
        limit, best = ratio_to(row, row["limit"]), ratio_to(row, row["best_peer"])
        drawn = span_at(0, 100, 9, "grid") + line_at(at(1), 0, 18, "axis")
        drawn += dot_at(at(limit), "hollow") if limit else ""
        drawn += dot_at(at(best), "ahead" if best >= 1 else "behind") if best else ""
        label = f"{times(limit)} of the limit, {times(best)} of the best peer"
        lines.append([link_to(row), strip(drawn, label), times(limit),
                      escape(row_cells(row)["best"])])
    heads = ["row", overview_axis(at, low, high), "of the limit", "of the best peer"]
    caption = ("Pawl's figure divided by the limit's (" + key_of("hollow") + ") and by the best "
               "peer's (" + key_of("ahead") + " Pawl is ahead, " + key_of("behind") + " the peer "
               "is), on a log scale. Right of the line Pawl is better.")
    return section("overview", "All rows at a glance",
                   table(heads, lines, caption, (2,), "wide overview"))


def key_of(kind):
    """A dot in running text."""
    return tag("svg", tag("circle", cx=6, cy=6, r=4, class_=kind), width=12, height=12,
               class_="key", aria_hidden="true")


def machine_value(value):
    """A fact for a table: lists of google-benchmark are spelled out."""
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            return ", ".join(f"L{c.get('level')} {c.get('type', '')} {c.get('size', 0) // 1024} "
                             f"KiB (shared by {c.get('num_sharing')})" for c in value)
        return ", ".join(digits(v) if isinstance(v, float) else str(v) for v in value)
    return str(value)


def lines_table(rows):
    """The rows that cross cores, and how near the cores were."""
    lines = []
    for row in rows:
        line = row.get("line_ns")
        if line:
            lines.append([link_to(row), f"{line['median']:.0f} ns",
                          f"{line['low']:.0f} – {line['high']:.0f} ns", escape(line["place"])])
    if not lines:
        return ""
    return table(["row", "median", "range", "cores"], lines, "Rows that cross cores: the time a "
                 "cache line took there and back, measured before each round", (1, 2))


def machine_section(results):
    """What it was measured on, and what spoke against it."""
    machine = results["machine"]
    found = sorted(machine.get("findings", []), key=lambda f: f["level"] != "warning")
    items = "".join(tag("li", tag("b", escape(f["level"])) + " " + escape(f["text"]) + (
        tag("span", " " + escape(f["advice"]), class_="dim") if f["advice"] else ""),
        class_=f["level"]) for f in found)
    order = ("processor", "cpus", "cores", "memory_gb", "kernel", "compiler", "governor",
             "huge_pages", "line_ns", "load", "instructions")
    facts = {key: machine[key] for key in order if key in machine}
    facts.update((key, value) for key, value in machine.items()
                 if key not in facts and key not in ("findings", "load_avg", "num_cpus"))
    names = {"memory_gb": "memory, GB", "line_ns": "cache line, there and back, ns",
             "mhz_per_cpu": "clock, MHz"}
    lines = [[escape(names.get(key, key.replace("_", " "))), escape(machine_value(value))]
             for key, value in facts.items()]
    return section("machine", "The machine", (tag("ul", items, class_="findings") if items else "")
                   + table(["fact", "value"], lines, "As pawl_bench and google-benchmark found it")
                   + lines_table(results["rows"]))


def groups_section(results):
    """Curves over sizes."""
    drawn = "".join(group_plot(name, rows) for name, rows in group_rows(results["rows"]))
    note = tag("p", "Size is the number of tasks, keys, timers or producers, or the bytes of an "
               "item. Each size is a run of its own: compare contenders at one size. The course of "
               "a curve also holds what the machine did between two runs.", class_="dim")
    return section("sizes", "By size", note + drawn) if drawn else ""


def contender_lines(row):
    """The lines of a row's main table."""
    values = [s["value"] for c in row["contenders"] for s in c["samples"]]
    values = [value for value in values if value is not None]
    ends = [v for entry in row["ratios"].values() for v in entry.values()]
    at = log_scale(ends, 1)[0] if ends else None
    lines = []
    for contender in row["contenders"]:
        name = tag("b", escape(contender["name"]), class_="name " + contender["kind"])
        name += tag("small", escape(contender["semantics"]))
        if contender["absent"]:
            lines.append([name, tag("span", f"absent: {escape(contender['absent'])}", class_="dim"),
                          "", "", "", "", "", ""])
            continue
        lines.append([name] + contender_cells(row, contender, values, at))
    return lines


def contender_cells(row, contender, values, at):
    """The figures and graphics of one contender."""
    entry = row["ratios"].get(contender["name"])
    mad = contender["mad_percent"]
    return [row_figure(row, contender["median"]),
            figures(contender["low"], contender["high"], row["metric"]),
            "–" if mad is None else f"{mad:.1f} %", str(len(contender["samples"])),
            rounds_strip(row, contender, min(values), max(values)) if values else "",
            times(entry["ratio"]) if entry else "",
            ratio_bar(entry, at, contender) if entry else ""]


def counters_table(row):
    """What the kernels counted beside the metric."""
    found = [(c, {"ns": median_ns(c), **c["counters"]}) for c in row["contenders"] if c["samples"]]
    names = dict.fromkeys(name for _, counters in found for name in counters
                          if not PERCENTILE.fullmatch(name) and name not in ("line_ns",
                                                                             row["metric"]))
    lines = [[escape(c["name"])] + [figure(counters.get(name), name) for name in names]
             for c, counters in found]
    if not lines or not names:
        return ""
    per = f"ns is the time of one {row['unit']}"
    heads = ["contender"] + [escape(name.replace("_", " ")) for name in names]
    return tag("details", tag("summary", "Counters") + table(
        heads, lines, f"Medians of the rounds; {escape(per)}", range(1, len(heads))))


def median_ns(contender):
    """The median of the samples' ns."""
    found = sorted(s["ns"] for s in contender["samples"] if s["ns"] is not None)
    return found[len(found) // 2] if found else None


def row_facts(row):
    """The line under a row's title."""
    cells = row_cells(row)
    parts = []
    if row["goal"]:
        parts.append(f"goal {escape(cells['goal'])} {mark(cells['verdict'])} {cells['reached']}")
    if row["line_ns"]:
        parts.append(f"cores {escape(row['line_ns']['place'])} ({row['line_ns']['median']:.0f} ns)")
    if row["size"]:
        parts.append(f"size {size_text(row['size'])}")
    parts.append("less is better" if row["less_is_better"] else "more is better")
    parts.append(f"{row['seconds']:.1f} s, {figure(row['peak_bytes'], 'bytes')} at most")
    if row["steal"] > 0.01:
        parts.append(f"{row['steal']:.0%} of the time stolen")
    if row["others"] > 0.05:
        parts.append(f"others used {row['others']:.0%} of the cpus")
    return tag("p", " · ".join(parts), class_="dim facts")


def row_section(row):
    """Everything of one row."""
    head = tag("h3", title_of(row) + " " + tag("code", escape(row["name"])))
    if row["status"] != "ok":
        body = tag("p", mark("failed") + " " + escape(row["error"]))
    else:
        heads = ["contender", "median", "low – high", "MAD", "n", "rounds", "Pawl is at",
                 "beside it"]
        caption = tag("span", title_of(row), class_="unseen")
        body = row_facts(row) + table(heads, contender_lines(row), caption, (1, 2, 3, 4, 6),
                                      "wide contenders")
        body += percentile_plot(row) + counters_table(row)
    return tag("article", head + body, id_="row-" + row["name"])


def rows_section(results):
    """All rows, with a list to jump from."""
    names = " ".join(link_to(row) for row in results["rows"])
    return section("rows", "Every row", tag("p", names, class_="jump")
                   + "".join(row_section(row) for row in results["rows"]))


METHOD = """
<p>A <b>row</b> is one piece of work. Its <b>contenders</b> do the same work: Pawl; the
<b>limit</b>, which is the work with no runtime at all; and <b>peers</b>, other people's software
used as its own documentation advises. All contenders of a row live in one process. Each has a
first round that does not count, and then their rounds are run in random order, so that the
machine's moods meet all of them alike. Threads are pinned to cores, one of each core first; what
plans its threads by itself may use all of them. Each round checks that its work was done.</p>
<p>A <b>figure</b> is the median of the rounds. Its spread is given as the lowest and the highest
round, and as MAD: the median distance from the median, in percent of it. A dot is a round; all
contenders of a row share an axis.</p>
<p>A <b>ratio</b> is between two medians of one row in one process, and above 1 always means that
Pawl is better, also where less is better. The thin line on a bar spans from the 10th to the 90th
percentile of the ratios of all pairs of rounds; bars are on a log scale. No ratio is taken between
two rows or two runs: on one machine their figures can differ by a third for no reason of the
software's. <code>bench/compare</code> tells two reports apart by how Pawl's ratios to the limit or
the peers changed, and says how sure that is.</p>
<p>For a row that crosses cores the time of a cache line's way to the other core and back is
measured before each round; cores are called near where that is below 240 ns. Latencies are
percentiles of single operations within a round; the plots space them by their nines.</p>
"""


def section(name, title, content):
    """A numbered part of the page."""
    return tag("section", tag("h2", title) + content, id_=name)


STYLE = """
:root{color-scheme:light dark;--bg:#fcfcfa;--fg:#1d2327;--dim:#5c666d;--rule:#dcdfe0;
--soft:#f1f2ef;--ours:#0b5fa5;--limit:#6b7379;--ahead:#2f7fbf;--behind:#c8660a;--good:#0b6b50;
--bad:#a63d00;--p0:#c44e00;--p1:#00825f;--p2:#a8478a;--p3:#9a6a00;--p4:#3f3f97;--p5:#0089a0;
--p6:#7a4a2b}
@media(prefers-color-scheme:dark){:root{--bg:#15191c;--fg:#e3e6e8;--dim:#9aa4ab;--rule:#333a3f;
--soft:#1d2326;--ours:#63b3f0;--limit:#9aa4ab;--ahead:#3f8fd0;--behind:#e08a3a;--good:#4cc39b;
--bad:#f0915a;--p0:#ef8a4c;--p1:#3dbd97;--p2:#d98cc0;--p3:#d9ab3f;--p4:#a3a3ec;--p5:#4cc3d9;
--p6:#c79673}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:70rem;background:var(--bg);color:var(--fg);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:0}
h2{font-size:1.35rem;margin:3rem 0 .75rem;padding-top:.75rem;border-top:2px solid var(--fg)}
h3{font-size:1.05rem;margin:0 0 .1rem}
h3 code{font-weight:400;color:var(--dim);font-size:.85em;margin-left:.4em}
p{max-width:46rem;margin:.6rem 0}
a{color:var(--ours);text-decoration-thickness:1px;text-underline-offset:2px}
.dim,small{color:var(--dim)}
small{display:block;font-size:.8rem;line-height:1.35;font-weight:400;white-space:normal}
.lead{font-size:1.1rem}
nav{margin:1rem 0 0;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem}
.tiles{display:flex;flex-wrap:wrap;gap:.5rem 2.5rem;margin:1rem 0 1.5rem}
.tiles b{display:block;font-size:2rem;line-height:1.1;font-weight:600;
font-variant-numeric:tabular-nums}
.tiles span{color:var(--dim);font-size:.9rem}
.scroll{overflow-x:auto;margin:.75rem 0 1.25rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
table.wide{width:100%}
caption{caption-side:top;text-align:left;color:var(--dim);font-size:.85rem;padding-bottom:.35rem}
th{font-weight:600;text-align:left;border-bottom:1px solid var(--fg);vertical-align:bottom;
white-space:nowrap}
th,td{padding:.3rem 1rem .3rem 0}
td{border-bottom:1px solid var(--rule);vertical-align:top}
th:last-child,td:last-child{padding-right:.2rem}
.n{text-align:right;white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}
.mark{white-space:nowrap;font-weight:600}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
svg.strip{display:block;min-width:6.5rem;margin-top:2px}
.goals td:first-child{min-width:13rem}
.goals td:nth-child(3),.goals td:nth-child(4),.goals td:last-child{white-space:nowrap}
.overview td{vertical-align:middle}
.overview td:first-child,.overview td:last-child{white-space:nowrap}
.overview td:nth-child(2){width:45%;min-width:10rem}
.contenders td:first-child{min-width:15rem}
.contenders td:nth-child(6){width:16%}.contenders td:nth-child(8){width:20%}
.ahead{fill:var(--ahead)}.behind{fill:var(--behind)}
.aside{fill:var(--limit)}.hollow{fill:var(--bg);stroke:var(--limit);stroke-width:1.75}
.round{fill:var(--fg);fill-opacity:.4}
.axis{stroke:var(--fg);stroke-width:1}.grid{stroke:var(--rule);stroke-width:1}
.whisker{stroke:var(--fg);stroke-width:1.5;stroke-opacity:.75}
.label{fill:var(--dim);font-size:12px}
th .label{font-weight:400}
.name.ours{color:var(--ours)}.name.limit{color:var(--limit)}
.pair{margin:1rem 0 2rem;display:grid;grid-template-columns:minmax(0,1fr);gap:0 2rem;
align-items:start}
@media(min-width:60rem){.pair{grid-template-columns:minmax(0,29rem) minmax(0,1fr)}}
figure{margin:0;max-width:34rem}
figcaption{color:var(--dim);font-size:.85rem}figcaption b{color:var(--fg)}
svg.plot{display:block;width:100%;height:auto}
.series{fill:none;stroke-width:1.75}.dash{stroke-dasharray:6 4}
.point{stroke:var(--bg);stroke-width:1;stroke-dasharray:none}
.series.ours{stroke:var(--ours);stroke-width:2.75}.point.ours{fill:var(--ours)}
.series.limit{stroke:var(--limit)}.point.limit{fill:var(--limit)}
@PEERS@
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.85rem;margin:.25rem 0 0}
.legend span{display:inline-flex;align-items:center;gap:.35rem}
.key{vertical-align:-1px;flex:none}
.findings{list-style:none;padding:0;margin:.75rem 0;max-width:46rem}
.findings li{padding:.4rem .8rem;margin:.4rem 0;background:var(--soft);
border-left:3px solid var(--limit)}
.findings li.warning{border-color:var(--behind)}
.jump{max-width:none;display:flex;flex-wrap:wrap;gap:.1rem .9rem;font-size:.85rem}
article{margin:2.25rem 0;scroll-margin-top:1rem}
article:target h3{color:var(--ours)}
.facts{margin:.1rem 0 .3rem;font-size:.88rem;max-width:none}
details summary{cursor:pointer;color:var(--dim);font-size:.88rem}
code{font:.92em ui-monospace,"DejaVu Sans Mono",monospace}
@media(max-width:40rem){body{font-size:15px;padding:1.25rem .9rem 3rem}h1{font-size:1.5rem}
.contenders td:first-child,.goals td:first-child{min-width:10rem}}
@media print{.scroll{overflow:visible}nav,.jump{display:none}}
""".replace("@PEERS@", "\n".join(
    f".series.peer{i}{{stroke:var(--p{i})}}.point.peer{i}{{fill:var(--p{i})}}"
    for i in range(PEER_COLOURS)))


def header(results):
    """The title, and what exactly this is a report of."""
    commit = results["commit"]
    said = [results["date"][:16].replace("T", " ") + " UTC", f"Pawl {results['version']}"]
    if commit:
        said.append(f"commit {commit['id']}" + (" with changes" if commit["dirty"] else ""))
    said.append(f"{results['scale']}, {results['repetitions']} rounds each")
    said.append(f"{results['seconds'] / 60:.1f} minutes")
    command = tag("code", escape(results["command"]))
    return tag("header", tag("h1", "Pawl beside its limits and its peers") + tag(
        "p", escape(" · ".join(said)) + " · " + command, class_="dim"))


def page(results):
    """The whole page as text."""
    parts = [summary_section(results), overview_section(results), groups_section(results),
             machine_section(results), rows_section(results), section("method", "Method", METHOD)]
    names = [re.match(r'<section id="([^"]*)"><h2>([^<]*)', part) for part in parts if part]
    nav = tag("nav", "".join(tag("a", m.group(2), href="#" + m.group(1)) for m in names),
              aria_label="Contents")
    title = f"Pawl: benchmarks, {escape(results['date'][:10])}"
    head = (tag("meta", charset="utf-8")
            + tag("meta", name_="viewport", content_="width=device-width,initial-scale=1")
            + tag("title", title) + tag("style", STYLE))
    body = header(results) + nav + tag("main", "".join(parts))
    return ("<!DOCTYPE html>\n"
            + tag("html", tag("head", head) + "\n" + tag("body", body), lang="en") + "\n")


def main(arguments):
    """Reads results and writes the page."""
    if len(arguments) not in (1, 2) or arguments[0].startswith("-"):
        sys.stderr.write("usage: report.py RESULTS.json [REPORT.html]\n")
        return 2
    source = Path(arguments[0])
    target = Path(arguments[1]) if len(arguments) > 1 else source.with_name("report.html")
    try:
        results = json.loads(source.read_text())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"report.py: cannot read results in '{source}': {error}\n")
        return 1
    target.write_text(page(results), encoding="utf-8")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
