"""Built indexes kept on disk with what their build cost: NAME.index and NAME.json beside the data. Made again when
missing, or when GYR_BENCH_REBUILD is 1 or names (a prefix of) the variant."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import time


def rebuild(name: str) -> bool:
    wanted = os.environ.get("GYR_BENCH_REBUILD", "")
    return wanted == "1" or any(name.startswith(part) for part in wanted.split(",") if part)


def ticks() -> float:
    """Seconds of CPU that anybody used or that the host took away."""
    user, nice, system, _, _, irq, soft, steal = (int(x) for x in open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def measured(work, threads: int) -> dict:
    """`idle`: others used less than 5 % of the machine meanwhile, so that the wall clock can be believed."""
    all_before, own_before, wall_before = ticks(), time.process_time(), time.perf_counter()
    work()
    wall, own = time.perf_counter() - wall_before, time.process_time() - own_before
    others = (ticks() - all_before - own) / (wall * (os.cpu_count() or 1))
    return {"seconds": round(wall, 3), "cpu_seconds": round(own, 3), "threads": threads,
            "others": round(others, 3), "idle": others < 0.05, "date": time.strftime("%Y-%m-%d")}


def remove(path: pathlib.Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def built(data, variant, version: str, suffix: str = "") -> bool:
    facts = data.folder / f"{variant.name}{suffix}.json"
    return facts.exists() and json.loads(facts.read_text())["version"] == version


def get(say, data, variant, version: str, suffix: str = "", work=None) -> dict:
    """Loads the variant's index, after building it where it is not kept; `work` replaces build()."""
    threads = int(os.environ.get("GYR_BENCH_BUILD_THREADS", 2))
    path = data.folder / f"{variant.name}{suffix}.index"
    facts = path.with_suffix(".json")
    known = json.loads(facts.read_text()) if facts.exists() and path.exists() else None
    if known is None or known["version"] != version or (rebuild(variant.name) and path not in _fresh):
        say(f"{data.name}: building {variant.name}{suffix} ({variant.parameters}), {threads} threads")
        known = measured(lambda: (work or variant.build)(data, threads), threads)
        part = path.with_suffix(".part")
        remove(part)
        variant.save(part)
        remove(path)
        part.rename(path)
        files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
        size = sum(f.stat().st_size for f in files) + variant.bytes_beside(data)
        known |= {"version": version, "parameters": variant.parameters, "bytes": size}
        facts.write_text(json.dumps(known) + "\n")
        say(f"{data.name}: {variant.name}{suffix} {json.dumps(known)}")
    _fresh.add(path)
    variant.load(path, data)
    return known


_fresh: set[pathlib.Path] = set()
