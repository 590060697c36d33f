#!/usr/bin/env python3
"""Branches that the tests take: the boundary, the files' layer and every reader must reach the floor, the rest is told.

  cmake --preset coverage && cmake --build build/coverage && GYR_SWEEP=brief ctest --test-dir build/coverage
  tools/coverage.py [--build build/coverage] [--missing FILE]    # exits 1 below the floor

Branches that only an exception's unwinding takes are left out (gcc makes one per call that could throw); the allocation
sweep is what tests those. --missing lists the lines of one file whose branches were not all taken.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOOR = 95.0
# Whatever turns bytes, text or Arrow arrays of unknown origin into objects.
READERS = """src/base/json.cpp src/base/spec.cpp src/base/utf8.cpp src/base/bytes.h
  src/data/arrow_import.cpp src/data/arrow_leaf.cpp src/data/arrow_reader.cpp src/data/arrow_stream.cpp
  src/data/arrow_type.cpp src/data/expression_parse.cpp src/data/schema.cpp
  src/device/device.cpp src/device/elf_note.cpp
  src/workflow/graph.cpp src/workflow/state.cpp src/workflow/op.cpp src/workflow/categorify.cpp
  src/workflow/key_counts.cpp src/workflow/normalize.cpp src/table/schema.cpp src/table/saved.cpp
  src/table/log_format.cpp src/cache/cache_file.cpp src/cache/segment.cpp
  src/index/file.cpp src/model/model.cpp src/model/features.cpp
  src/pipeline/bind.cpp src/pipeline/components.cpp src/bundle/generation.cpp src/monitor/options.cpp""".split()


def gcov(build):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run(["gcovr", "-r", str(ROOT), str(build.resolve() / "CMakeFiles/gyr_objects.dir"),
                        "--exclude-throw-branches", "--exclude-unreachable-branches", "-f", str(ROOT / "src") + "/",
                        "--gcov-ignore-parse-errors", "-j", "2", "--json", out.name],
                       check=True, cwd=build)
        return {f["file"]: f["lines"] for f in json.load(open(out.name))["files"]}


def counts(lines):
    branches = [b for line in lines for b in line["branches"]]
    return sum(b["count"] > 0 for b in branches), len(branches)


def group_of(name):
    if name.startswith(("src/capi/", "src/io/")):
        return "/".join(name.split("/")[:2])
    return "readers" if name in READERS else "rest: " + "/".join(name.split("/")[:2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/coverage")
    parser.add_argument("--missing", help="a file, e.g. src/io/file.cpp, or a folder")
    options = parser.parse_args()
    files = gcov(options.build)
    if options.missing:
        for name, lines in sorted(files.items()):
            if not name.startswith(options.missing):
                continue
            source = (ROOT / name).read_text().splitlines()
            for line in lines:
                taken, all_ = counts([line])
                if taken < all_:
                    number = line["line_number"]
                    print(f"{name}:{number}: {taken}/{all_}  {source[number - 1].strip()}")
        return 0
    unknown = [name for name in READERS if name not in files]
    groups = {}
    for name, lines in files.items():
        taken, all_ = counts(lines)
        groups.setdefault(group_of(name), []).append((taken, all_, name))
    low = bool(unknown)
    for name in unknown:
        print(f"no counts for {name}: renamed?")
    for group, members in sorted(groups.items()):
        taken, all_ = sum(m[0] for m in members), sum(m[1] for m in members)
        share = 100 * taken / all_ if all_ else 100
        held = not group.startswith("rest")
        low |= held and share < FLOOR
        print(f"{share:6.1f} %  {taken:5} / {all_:5}  {group}" + (f"  (below {FLOOR:g})" if held and share < FLOOR else ""))
        for t, a, name in sorted(members, key=lambda m: m[0] / m[1] if m[1] else 1):
            if held and a:
                print(f"  {100 * t / a:6.1f} %  {t:5} / {a:5}  {name}")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
