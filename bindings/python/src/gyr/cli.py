"""The command line: gyr demo, train, recommend, inspect, doctor."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Annotated

import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

import gyr

app = typer.Typer(add_completion=False, no_args_is_help=True, help="gyr: an embedded recommender engine.",
                  pretty_exceptions_enable=False)
console = Console()


@app.command()
def demo(out: Annotated[pathlib.Path, typer.Option(help="Folder to write to.")] = pathlib.Path("build/quickstart"),
         seed: Annotated[int, typer.Option(help="Seed of sampling and initial weights.")] = 1,
         add_latency: Annotated[bool, typer.Option(help="Only merge latency.json of the C host into the results.")] = False):
    """Train and evaluate on MovieLens 100K; writes movielens.gyr, report.html, metrics.json."""
    from gyr.demo import run

    if add_latency:
        run.add_latency(out, console)
    else:
        run.run(out, seed, console)


@app.command()
def train(project: Annotated[pathlib.Path, typer.Argument(help="Project file, see docs/python.md.")],
          output: Annotated[pathlib.Path | None, typer.Option(help="Bundle to write; default: the project's.")] = None):
    """Fit, train and bundle what a project file describes (Parquet, CSV or Arrow files in, one bundle out)."""
    from gyr.project import build
    from gyr.progress import Watcher

    with Watcher(console) as watch:
        path = build(project, output, watch)
    console.print(f"wrote {path}")


@app.command()
def recommend(bundle: pathlib.Path,
              user: Annotated[list[str], typer.Option("--user", "-u", help="User id; repeat for more.")],
              k: Annotated[int, typer.Option(help="Results per user; 0 = as many as the bundle gives.")] = 0,
              title: Annotated[str, typer.Option(help="TABLE:COLUMN to show beside an id.")] = "items:title",
              trace: Annotated[bool, typer.Option(help="Show what each stage did.")] = False,
              as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of tables.")] = False):
    """Recommendations from a bundle."""
    with gyr.Bundle.open(str(bundle)) as b:
        users = _user_ids(b, user)
        answers = b.recommend(users, k=k)
        for u, name in enumerate(users):
            n = int(answers.counts[u])
            ids = list(answers.ids[u][:n])
            titles = _titles(b, title, ids)
            if as_json:
                rows = [{"id": i if isinstance(i, str) else int(i), "title": t, "score": float(s)}
                        for i, t, s in zip(ids, titles, answers.scores[u])]
                print(json.dumps({"user": name, "status": STATUS[int(answers.user_status[u])], "items": rows}))
                continue
            table = Table(title=f"user {name} ({STATUS[int(answers.user_status[u])]}), generation {answers.generation}")
            for column in ("id", "title", "score"):
                table.add_column(column, justify="right" if column == "score" else "left")
            for i, t, s in zip(ids, titles, answers.scores[u]):
                table.add_row(str(i), t or "", f"{s:.4f}")
            console.print(table)
        if trace and not as_json:
            table = Table("stage", "us", "rows in", "rows out")
            for s in answers.trace:
                table.add_row(s.name, f"{s.time_ns / 1000:.1f}", str(s.rows_in), str(s.rows_out))
            console.print(table)


STATUS = {gyr.PRESENT: "known", gyr.MISSING: "unknown", gyr.EXPIRED: "expired"}


def _user_ids(bundle: gyr.Bundle, given: list[str]) -> list:
    """Text or integers, as the bundle's user table has them."""
    stages = bundle.describe()["pipeline"]["stages"]
    table = next(s["table"] for s in stages if s["stage"] == "features" and s.get("side", "user") == "user")
    if not pa.types.is_integer(bundle.table(table).schema.field(0).type):
        return given
    try:
        return [int(u) for u in given]
    except ValueError:
        raise typer.BadParameter("this bundle's user ids are integers", param_hint="--user") from None


def _titles(bundle: gyr.Bundle, where: str, ids: list) -> list[str | None]:
    table, _, column = where.partition(":")
    try:
        rows, _ = bundle.table(table).get(ids, [column])
    except gyr.Error as e:
        if e.status in ("GYR_E_NOT_FOUND", "GYR_E_INVALID_ARGUMENT"):
            return [None] * len(ids)
        raise
    return rows[column].to_pylist()


@app.command()
def inspect(path: pathlib.Path):
    """What is in a bundle: generation, components, serving graph, metadata."""
    with gyr.Bundle.open(str(path)) as bundle:
        d = bundle.describe()
    table = Table(title=f"{path} ({path.stat().st_size / 1e6:.2f} MB)")
    for column in ("component", "type", "facts"):
        table.add_column(column)
    for c in d["components"]:
        facts = ", ".join(f"{k} {v}" for k, v in c.items() if k not in ("name", "type") and not isinstance(v, (dict, list)))
        table.add_row(c["name"], c["type"], facts)
    console.print(table)
    console.print("pipeline: " + " > ".join(s["stage"] for s in d["pipeline"]["stages"]))
    if d.get("metadata"):
        console.print_json(json.dumps(d["metadata"]))


@app.command()
def doctor():
    """Check the installation: library, SIMD level, devices, a search and a hash against known answers."""
    import numpy as np

    info = gyr.build_info()
    console.print(f"libgyr {info.get('version')} from {gyr.library_path}")
    for key, value in info.items():
        if key != "version":
            console.print(f"  {key}: {value}")
    runtime = gyr.Runtime().info()
    console.print(f"runtime: {runtime['threads']} threads, {runtime['cores']} cores, SIMD {runtime['simd']}, device {runtime['device']}")
    for d in gyr.devices():
        usable = "usable" if d.usable else f"not usable: {d.reason}"
        console.print(f"device {d.selector}: {d.name}, {d.total_bytes / 2**30:.1f} GiB, {usable}")
    checks = {}
    index = gyr.Index(dim=2, metric="ip", kind="exact")
    index.upsert(np.array([7, 9]), np.array([[1, 0], [0, 2]], np.float32))
    ids, _ = index.search(np.array([[0, 1]], np.float32), k=1)
    checks["search"] = int(ids[0][0]) == 9
    checks["hash"] = gyr.hash64(b"") == 0x2D06800538D394C2  # XXH3-64 of nothing, seed 0
    for name, good in checks.items():
        console.print(f"check {name}: {'ok' if good else 'FAILED'}")
    if not all(checks.values()):
        raise typer.Exit(1)


def main() -> None:
    try:
        app()
    except gyr.Error as e:
        print(f"gyr: {e}", file=sys.stderr)
        sys.exit(1)
    except OSError as e:
        print(f"gyr: {e}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
