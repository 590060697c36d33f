"""Areas whose work is a C++ program of the release preset (bench/compare): runs it and reads its JSON lines."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGES = ("libabsl-dev", "librocksdb-dev", "libhiredis-dev", "redis-server")


def versions() -> str:
    found = []
    for package in PACKAGES:
        r = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
        found.append(f"{package} {r.stdout}" if r.returncode == 0 and r.stdout else f"{package} missing")
    return ", ".join(found)


def run(say, program: str, targets: dict[tuple[str, str], float]) -> list[dict]:
    """targets: (case, peer) -> smallest ratio that meets the issue's number."""
    binary = ROOT / "build/release/bench" / program
    if not binary.exists():
        raise SystemExit(f"{binary} is missing: cmake --preset release && cmake --build build/release --target {program}")
    say(f"peers: {versions()}")
    lines = subprocess.run([str(binary)], check=True, stdout=subprocess.PIPE, text=True).stdout
    figures = [json.loads(line) for line in lines.splitlines() if re.match(r"\s*\{", line)]
    for f in figures:
        f["target"] = targets.get((f["case"], f["peer"]))
    missing = sorted(f"{case} against {peer}" for case, peer in targets
                     if not any(f["case"] == case and f["peer"] == peer for f in figures))
    for what in missing:
        say(f"{what}: skipped, see above")
    return figures
