"""`gyr demo`: data to bundle, quality table, report."""

from __future__ import annotations

import json
import pathlib
import time

from rich.console import Console
from rich.table import Table

import gyr
from gyr.progress import Watcher

from . import movielens, specs
from .evaluate import Baselines, evaluate, make_slice
from .report import write_report
from .train import Trained, build_bundle, train

NAMES = {"gyr": "gyr pipeline", "popularity": "popularity", "item_knn": "item-kNN", "recent_popularity": "recent popularity"}


def run(out: pathlib.Path, seed: int, console: Console) -> None:
    """Writes movielens.gyr, report.html and metrics.json under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    data = movielens.load(movielens.locate(out))
    features = movielens.Features(data)
    seconds["load"] = time.perf_counter() - start
    train_end, test_begin = int(0.8 * len(data)), int(0.9 * len(data))
    console.print(f"MovieLens 100K: {len(data)} events; train {train_end}, validate {test_begin - train_end}, "
                  f"test {len(data) - test_begin} (by time)")

    with Watcher(console) as watch:
        trained = train(data, features, train_end, seed, watch)
    seconds.update(trained.seconds)

    start = time.perf_counter()
    baselines = Baselines(data, train_end)
    results = {}
    for name, begin, end in (("validation", train_end, test_begin), ("test", test_begin, len(data))):
        path = out / ("movielens.gyr" if name == "test" else "validation.gyr")
        build_bundle(trained, data, features, begin, train_end, str(path), {"data": "MovieLens 100K", "seed": seed})
        part = make_slice(data, name, train_end, begin, end)
        with gyr.Bundle.open(str(path)) as bundle:
            results[name] = evaluate(bundle, baselines, data, part, begin)
    seconds["evaluate"] = time.perf_counter() - start
    (out / "validation.gyr").unlink()
    for name, result in results.items():
        console.print(quality_table(name, result))
    write_metrics(out, results, seconds, trained)
    write_report(out)


def quality_table(name: str, result: dict) -> Table:
    k = specs.TOP_K
    table = Table(title=f"{name}, top {k}; 95 % bootstrap interval in brackets")
    for column in ("users", "method", f"ndcg@{k}", f"recall@{k}", f"mrr@{k}", f"hit rate@{k}"):
        table.add_column(column, justify="left" if column in ("users", "method") else "right")
    for group, label in (("warm", "with history in train"), ("cold", "without")):
        for method, q in result[group].items():
            if not q["users"]:
                continue
            cells = [f"{q[m]:.4f} [{q[m + '_interval'][0]:.3f}, {q[m + '_interval'][1]:.3f}]" for m in ("ndcg", "recall")]
            table.add_row(f"{q['users']} {label}", NAMES[method], *cells, f"{q['mrr']:.4f}", f"{q['hit_rate']:.4f}")
        table.add_section()
    return table


def write_metrics(out: pathlib.Path, results: dict, seconds: dict, trained: Trained) -> None:
    k = specs.TOP_K
    test = results["test"]["warm"]
    metrics = {f"{m}@{k}": {method: q[m] for method, q in test.items()} for m in ("recall", "ndcg")}
    metrics["seconds"] = {name: round(s, 3) for name, s in seconds.items()}
    metrics["quality"] = results
    metrics["training"] = {"retrieval": trained.retrieval_history, "ranking": trained.ranking_history}
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1))


def add_latency(out: pathlib.Path, console: Console) -> None:
    """Takes the C host's latency.json into metrics.json and the report; prints the closing summary."""
    path = out / "metrics.json"
    metrics = json.loads(path.read_text())
    latency = json.loads((out / "latency.json").read_text())
    metrics["latency_us"] = {"p50": latency["p50"], "p99": latency["p99"]}
    metrics["latency"] = latency
    steps = out / "steps.json"
    if steps.exists():
        metrics["seconds"] |= json.loads(steps.read_text())
    path.write_text(json.dumps(metrics, indent=1))
    write_report(out)
    console.print(quality_table("test", metrics["quality"]["test"]))
    table = Table(title=f"latency of one user's call in the C host, {latency['threads']} thread(s)")
    for column in ("stage", "p50 us", "p99 us"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in [*latency["stages"], {"stage": "whole call", "p50": latency["p50"], "p99": latency["p99"]}]:
        table.add_row(stage["stage"], f"{stage['p50']:.1f}", f"{stage['p99']:.1f}")
    console.print(table)
