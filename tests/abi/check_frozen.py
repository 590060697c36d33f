#!/usr/bin/env python3
"""check_frozen.py: while this version is unreleased, its frozen headers are those of include/."""
import filecmp
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import abi_baseline  # noqa: E402

if abi_baseline.is_released():
    print(f"{abi_baseline.version()} is released: its frozen headers stay as they are")
    sys.exit(0)
frozen, present = abi_baseline.frozen() / "include/gyr", ROOT / "include/gyr"
names = {path.name for path in present.glob("*.h")} | {path.name for path in frozen.glob("*.h")}
_, different, missing = filecmp.cmpfiles(frozen, present, names, shallow=False)
if different or missing:
    sys.exit(f"{frozen} differs from include/gyr in {', '.join(sorted(different + missing))}: run tools/abi_baseline.py "
             "after a build of the dev preset")
print(f"{len(names)} frozen headers, all as in include/gyr")
