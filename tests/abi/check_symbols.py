#!/usr/bin/env python3
"""check_symbols.py LIBRARY API_JSON: the library exports the functions of the headers, each and no more, and no unique
symbol (which would keep it from being unloaded and clash across copies)."""
import json
import subprocess
import sys

library, description = sys.argv[1:]
with open(description) as file:
    wanted = {function["name"] for function in json.load(file)["functions"]}
lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
exported, problems = set(), []
for line in lines.splitlines():
    kind, name = line.split()[-2:]
    name = name.split("@")[0]
    if kind == "A" and name.startswith("GYR_"):
        continue  # the version node
    exported.add(name)
    if kind != "T":
        problems.append(f"{name} has kind {kind}, expected a function (T)")
problems += [f"{name} is declared but not exported" for name in sorted(wanted - exported)]
problems += [f"{name} is exported but not declared" for name in sorted(exported - wanted)]
print("\n".join(problems) if problems else f"{len(exported)} symbols, all of them declared")
sys.exit(1 if problems else 0)
