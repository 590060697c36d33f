#!/usr/bin/env python3
"""Side-by-side figures: gyr and its peers on the same data, in one process tree, with equal threads.

    bench/compare.py AREA [--json FILE|-]

Prints the machine, the commit and the peers' versions, a table, and with --json one line per figure:
{"area", "case", "metric", "gyr", "peer", "peer_value", "ratio", "better"}; ratio > 1 means gyr is better.
Areas are modules of bench/areas with a `figures(say)` function; a figure with a `target` prints the smallest ratio that
is good enough. `cache` and `table` run a C++ program each: build their targets (compare_cache, compare_table) with the
release preset. Run pipeline and index with the Python of the virtual environment
(build/venv) after quickstart.sh; peers are installed into it when they are missing.
bench/areas/index.py says what the environment may change about index.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def cpu_name() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def commit() -> str:
    r = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return r.stdout.strip() or "unknown"


def main() -> int:
    areas = sorted(p.stem for p in (ROOT / "bench/areas").glob("*.py") if not p.stem.startswith("_"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("area", choices=areas)
    parser.add_argument("--json", help="write JSON lines to a file, or - for standard output")
    args = parser.parse_args()
    log = sys.stderr if args.json == "-" else sys.stdout

    def say(text: str) -> None:
        print(text, file=log, flush=True)

    say(f"machine: {cpu_name()}, commit {commit()}, command: bench/compare.py {' '.join(sys.argv[1:])}")
    figures = importlib.import_module(f"bench.areas.{args.area}").figures(say)
    say(f"{'case':<34}{'metric':<22}{'gyr':>12}  {'peer':<26}{'value':>12}{'ratio':>10}  wanted")
    lines = []
    for f in figures:
        ratio = f["peer_value"] / f["gyr"] if f["better"] == "lower" else f["gyr"] / f["peer_value"]
        target = f.pop("target", None)  # smallest ratio that is good enough; areas without targets leave it out
        f = {"area": args.area, **f, "ratio": round(ratio, 3)}
        lines.append(json.dumps(f))
        wanted = "" if target is None else f"{target:.3g}{'' if ratio >= target else ', missed'}"
        say(f"{f['case']:<34}{f['metric']:<22}{f['gyr']:>12.2f}  {f['peer']:<26}{f['peer_value']:>12.2f}{ratio:>9.3g}x"
            f"  {wanted}")
    if args.json == "-":
        print("\n".join(lines))
    elif args.json:
        pathlib.Path(args.json).write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
