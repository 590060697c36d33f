"""One self-contained HTML page: quality beside baselines, loss curves, latency per stage. No script, no network."""

from __future__ import annotations

import html
import json
import pathlib

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid #dde3ea}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #edf1f5}
td:first-child,th:first-child{text-align:left}.best{font-weight:600}.muted{color:#66788a}
svg{background:#f7f9fb;border-radius:4px}text{font:11px system-ui,sans-serif;fill:#44586c}
@media(prefers-color-scheme:dark){body{background:#11171d;color:#dbe4ec}svg{background:#19222b}text{fill:#9fb3c6}
td,th{border-color:#26313c}h2{border-color:#26313c}}
"""
COLOURS = {"gyr": "#0b7285", "item_knn": "#e8890c", "popularity": "#868e96", "recent_popularity": "#495057"}
NAMES = {"gyr": "gyr pipeline", "item_knn": "item-kNN", "popularity": "popularity", "recent_popularity": "recent popularity"}


def write_report(out: pathlib.Path) -> None:
    metrics = json.loads((out / "metrics.json").read_text())
    parts = ["<h1>gyr on MovieLens 100K</h1>",
             "<p class=muted>Time split: the first 80 % of the events train, the next 10 % validate, the last 10 % test. "
             "Ratings of 4 and 5 are positives; items seen before are never recommended. All methods are fitted on the "
             "first 80 % and see the same history. Recent popularity counts the last 3,000 positives only; the pipeline, too, "
             "is fed windowed counts.</p>"]
    for name in ("test", "validation"):
        parts += [f"<h2>Quality, {name}</h2>", _quality(metrics["quality"][name])]
    parts += ["<h2>Training loss per epoch</h2>"]
    for name, history in metrics["training"].items():
        parts.append(_line_chart(f"{name} model", [h["epoch"] for h in history], [h["loss"] for h in history]))
    if "latency" in metrics:
        parts += ["<h2>Latency of one user's call in the C host</h2>", _latency(metrics["latency"])]
    parts += ["<h2>Seconds per step</h2>", _rows(["step", "s"], [[k, f"{v:.2f}"] for k, v in metrics["seconds"].items()])]
    page = ("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>gyr on MovieLens 100K</title><style>{STYLE}</style><body>{''.join(parts)}</body></html>")
    (out / "report.html").write_text(page, encoding="utf-8")


def _rows(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _quality(result: dict) -> str:
    out = []
    for group, label in (("warm", "users with history in train"), ("cold", "users without history in train")):
        methods = {m: q for m, q in result[group].items() if q["users"]}
        if not methods:
            continue
        users = next(iter(methods.values()))["users"]
        best = {m: max(q[m] for q in methods.values()) for m in ("ndcg", "recall", "mrr", "hit_rate")}
        rows = []
        for method, q in methods.items():
            row = [NAMES[method]]
            for m in ("ndcg", "recall", "mrr", "hit_rate"):
                text = f"{q[m]:.4f}"
                if q[m] == best[m]:
                    text = f"<span class=best>{text}</span>"
                if f"{m}_interval" in q:
                    low, high = q[f"{m}_interval"]
                    text += f" <span class=muted>[{low:.3f}, {high:.3f}]</span>"
                row.append(text)
            rows.append(row)
        out.append(f"<p>{users} {label}</p>" + _rows(["method", "NDCG@10", "recall@10", "MRR@10", "hit rate@10"], rows))
        if group == "warm":
            out.append(_bars(methods))
    return "".join(out)


def _bars(methods: dict) -> str:
    """NDCG@10 with its interval."""
    top = max(q["ndcg_interval"][1] for q in methods.values()) or 1.0
    width, left, row = 620, 110, 30
    parts = [f"<svg viewBox='0 0 {width} {row * len(methods) + 14}' width={width} role=img aria-label='NDCG at 10'>"]
    for i, (method, q) in enumerate(methods.items()):
        y = 10 + i * row
        scale = (width - left - 60) / top
        low, high = (left + scale * v for v in q["ndcg_interval"])
        parts.append(f"<text x={left - 8} y={y + 13} text-anchor=end>{NAMES[method]}</text>"
                     f"<rect x={left} y={y} width={scale * q['ndcg']:.1f} height=18 rx=2 fill='{COLOURS[method]}'/>"
                     f"<path d='M{low:.1f} {y + 9}H{high:.1f}M{low:.1f} {y + 5}v8M{high:.1f} {y + 5}v8' "
                     f"stroke='#44586c' fill='none'/><text x={high + 6:.1f} y={y + 13}>{q['ndcg']:.3f}</text>")
    return "".join(parts) + "</svg>"


def _line_chart(title: str, x: list[float], y: list[float]) -> str:
    if not y:
        return ""
    width, height, pad = 300, 160, 34
    low, high = min(y), max(y)
    span = (high - low) or 1.0
    step = (width - 2 * pad) / max(len(x) - 1, 1)
    points = [(pad + i * step, height - pad - (v - low) / span * (height - 2 * pad)) for i, v in enumerate(y)]
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    dots = "".join(f"<circle cx={px:.1f} cy={py:.1f} r=3 fill='#0b7285'/>" for px, py in points)
    return (f"<svg viewBox='0 0 {width} {height}' width={width} role=img aria-label='{html.escape(title)}'>"
            f"<text x={pad} y=16>{html.escape(title)}</text><polyline points='{line}' fill=none stroke='#0b7285' "
            f"stroke-width=2 />{dots}<text x=4 y={pad + 4}>{high:.3f}</text><text x=4 y={height - pad + 4}>{low:.3f}</text>"
            f"<text x={pad} y={height - 10}>epoch {x[0]:.0f}</text>"
            f"<text x={width - pad} y={height - 10} text-anchor=end>{x[-1]:.0f}</text></svg> ")


def _latency(latency: dict) -> str:
    stages = latency["stages"]
    rows = [[html.escape(s["stage"]), f"{s['p50']:.1f}", f"{s['p99']:.1f}"] for s in stages]
    rows.append(["<b>whole call</b>", f"<b>{latency['p50']:.1f}</b>", f"<b>{latency['p99']:.1f}</b>"])
    rate = latency["calls"] / latency["seconds"]
    text = (f"<p>{latency['calls']} calls on {latency['threads']} thread(s): {rate:.0f} calls/s</p>" +
            _rows(["stage", "p50 us", "p99 us"], rows))
    return text + "".join(_histogram(s["stage"], s["quantiles"]) for s in stages if s.get("quantiles")) + \
        _histogram("whole call", latency["quantiles"])


def _histogram(title: str, quantiles: list[float]) -> str:
    """Density from percentiles 0..99: equal shares of the calls between neighbours."""
    low, high = quantiles[0], quantiles[99]
    bins, width, height, pad = 40, 300, 110, 20
    span = (high - low) or 1.0
    counts = [0.0] * bins
    for a, b in zip(quantiles[:99], quantiles[1:100]):
        first, last = (min(int((v - low) / span * bins), bins - 1) for v in (a, b))
        for i in range(first, last + 1):
            counts[i] += 1 / (last - first + 1)
    top = max(counts) or 1.0
    bar = (width - 2 * pad) / bins
    bars = "".join(f"<rect x={pad + i * bar:.1f} y={height - pad - c / top * (height - 2 * pad):.1f} width={bar - 0.5:.1f} "
                   f"height={c / top * (height - 2 * pad):.1f} fill='#0b7285'/>" for i, c in enumerate(counts))
    return (f"<svg viewBox='0 0 {width} {height}' width={width} role=img aria-label='{html.escape(title)}'>"
            f"<text x={pad} y=14>{html.escape(title)}</text>{bars}<text x={pad} y={height - 5}>{low:.1f} us</text>"
            f"<text x={width - pad} y={height - 5} text-anchor=end>{high:.1f} us</text></svg> ")
