"""A run as one HTML page: faults over throughput, latency and errors, the verdict, and the command that repeats it.

The page is made from the history alone, and needs nothing from elsewhere.
"""

import collections
import html
import json

WIDTH, HEIGHT, LEFT = 1100, 130, 70


class Timeline:
    """What happened in each slice of time."""

    def __init__(self, lines, slices=220):
        asked, points, self.faults = {}, [], []
        self.began = self.ended = None
        for line in lines:
            entry = json.loads(line)
            at, type = entry.get("at"), entry["type"]
            if at is None:
                continue
            self.began = at if self.began is None else self.began
            self.ended = at
            if type == "invoke":
                asked[entry["op"]] = (at, entry["kind"])
            elif type in ("ok", "fail", "unknown") and entry["op"] in asked:
                begun, kind = asked.pop(entry["op"])
                points.append((at, kind, type, (at - begun) / 1e6))
            elif type == "fault":
                self.faults.append((at, entry["what"], entry.get("target"), entry["phase"]))
        if self.began is None:
            self.began = self.ended = 0
        self.seconds = max((self.ended - self.began) / 1e9, 0.001)
        self.slice_s = max(self.seconds / slices, 0.25)
        n = int(self.seconds / self.slice_s) + 1
        self.acked, self.read, self.failed = [0] * n, [0] * n, [0] * n
        took = collections.defaultdict(list)
        for at, kind, type, ms in points:
            i = int((at - self.began) / 1e9 / self.slice_s)
            if type == "ok" and kind == "event":
                self.acked[i] += 1
                took[i].append(ms)
            elif type == "ok" and kind == "read":
                self.read[i] += 1
            elif type != "ok":
                self.failed[i] += 1
        for series in (self.acked, self.read, self.failed):
            series[:] = [v / self.slice_s for v in series]
        self.p50 = [quantile(took[i], 0.5) for i in range(n)]
        self.p99 = [quantile(took[i], 0.99) for i in range(n)]

    def x(self, at):
        return LEFT + (at - self.began) / 1e9 / self.seconds * (WIDTH - LEFT)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))] if values else None


def chart(timeline, title, series):
    """`series`: (name, colour, values); None in the values is a gap."""
    most = max((v for _, _, values in series for v in values if v is not None), default=1) or 1
    out = [f'<h3>{html.escape(title)}</h3><svg viewBox="0 0 {WIDTH} {HEIGHT + 20}" role="img" '
           f'aria-label="{html.escape(title)}">', bands(timeline, HEIGHT)]
    for share in (0, 0.5, 1):
        y = HEIGHT - share * (HEIGHT - 15)
        out.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH}" y2="{y}"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{most * share:.4g}</text>')
    for name, colour, values in series:
        path, pen = [], "M"
        for i, v in enumerate(values):
            if v is None:
                pen = "M"
                continue
            x = LEFT + (i + 0.5) * timeline.slice_s / timeline.seconds * (WIDTH - LEFT)
            path.append(f"{pen}{min(x, WIDTH):.1f} {HEIGHT - v / most * (HEIGHT - 15):.1f}")
            pen = "L"
        out.append(f'<path d="{" ".join(path)}" stroke="{colour}"/>')
    out.append("</svg><p class='key'>" + " ".join(
        f'<span style="color:{colour}">&#9632;</span> {html.escape(name)}' for name, colour, _ in series) + "</p>")
    return "".join(out)


def spans(timeline):
    """(begun, ended, what, target) of each fault."""
    open_faults, found = {}, []
    for at, what, target, phase in timeline.faults:
        if phase == "inject":
            open_faults[what] = (at, target)
        elif what in open_faults:
            begun, target = open_faults.pop(what)
            found.append((begun, at, what, target))
    found += [(begun, timeline.ended, what, target) for what, (begun, target) in open_faults.items()]
    return sorted(found)


def bands(timeline, height):
    return "".join(
        f'<rect class="fault" x="{timeline.x(begun):.1f}" y="0" height="{height}" '
        f'width="{max(1.5, timeline.x(ended) - timeline.x(begun)):.1f}"><title>{html.escape(what)}: '
        f'{html.escape(str(target))}</title></rect>' for begun, ended, what, target in spans(timeline))


def fault_rows(timeline):
    rows = spans(timeline)
    height = 16 * len(rows) + 8
    out = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="faults">']
    for i, (begun, ended, what, target) in enumerate(rows):
        x, y = timeline.x(begun), 16 * i + 4
        right = x < WIDTH * 0.6
        text_x = timeline.x(ended) + 6 if right else x - 6
        out.append(f'<rect class="bar" x="{x:.1f}" y="{y}" height="11" '
                   f'width="{max(2, timeline.x(ended) - x):.1f}"/><text x="{text_x:.1f}" y="{y + 10}" '
                   f'text-anchor="{"start" if right else "end"}">{html.escape(f"{what}: {target}")}</text>')
    return "".join(out) + "</svg>"


STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
body{color:#1b1f24;background:#fff}svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#57606a}
svg path{fill:none;stroke-width:1.6}.grid{stroke:#d8dee4}.fault{fill:#cf222e;opacity:.12}.bar{fill:#cf222e;opacity:.7}
.key{margin:.2rem 0 1rem;color:#57606a}.good{color:#116329}.bad{color:#a40e26}
pre{background:#f6f8fa;padding:.8rem;overflow:auto}table{border-collapse:collapse}
td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}pre{background:#161b22}.grid{stroke:#30363d}
.good{color:#56d364}.bad{color:#ff7b72}svg text,.key{fill:#8b949e;color:#8b949e}}"""


def page(timeline, result):
    verdict = result["verdict"]
    fine = result["ok"]
    rows = "".join(f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>"
                   for name, value in sorted(verdict["counts"].items()))
    found = "".join(f"<li><b>{html.escape(e['kind'])}</b>: {html.escape(e['what'])}</li>" for e in verdict["examples"])
    found += "".join(f"<li><b>trouble</b>: <pre>{html.escape(t)}</pre></li>" for t in result["trouble"])
    charts = "".join(chart(timeline, title, series) for title, series in (
        ("events and reads a second",
         [("acknowledged events", "#0969da", timeline.acked), ("strong reads", "#8250df", timeline.read)]),
        ("milliseconds until an event was acknowledged",
         [("p50", "#0969da", timeline.p50), ("p99", "#bc4c00", timeline.p99)]),
        ("requests a second that failed or whose outcome is unknown",
         [("events and reads", "#cf222e", timeline.failed)])))
    words = "Nothing was found that must not be." if fine else "Something was not as promised."
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>candor-chaos, seed {result['seed']}</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style>
<h1>candor-chaos, seed {result['seed']}</h1>
<p class="{'good' if fine else 'bad'}"><b>{words}</b> {len(result['faults'])} faults in {timeline.seconds:.0f} s,
{verdict['counts'].get('acknowledged', 0)} events acknowledged and looked for,
{verdict['counts'].get('read.ok', 0)} reads.</p>
<ul>{found}</ul>
<p>The same schedule again:</p><pre>{html.escape(result['command'])}</pre>
<h2>Faults</h2>{fault_rows(timeline)}
<h2>What clients saw</h2>
{charts}
<h2>Counts</h2><table>{rows}</table></html>
"""


def write(file, history, result):
    with open(history, encoding="utf-8") as lines:
        timeline = Timeline(lines)
    with open(file, "w", encoding="utf-8") as out:
        out.write(page(timeline, result))
