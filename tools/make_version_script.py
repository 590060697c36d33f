#!/usr/bin/env python3
"""Prints the linker version script: one node with each GYR_API function of the public headers, sorted."""
import pathlib
import re

root = pathlib.Path(__file__).resolve().parent.parent
names = set()
for header in (root / "include/gyr").glob("*.h"):
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    names.update(re.findall(r"GYR_API\s+[^;{]*?\b(gyr_\w+)\s*\(", text))
print("GYR_0.1 {\n  global:")
for name in sorted(names):
    print(f"    {name};")
print("  local: *;\n};")
