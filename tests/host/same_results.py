#!/usr/bin/env python3
"""same_results.py AROUND LIBRARY LOCALES: whatever the host's modes, one thread gives the same digest of all results."""
import os
import subprocess
import sys

around, library, locales = sys.argv[1:]
digests = {}
for mode in ("plain", "upward", "trapping", "masked", "german"):
    done = subprocess.run([around, mode, library, "1"], capture_output=True, text=True, env={**os.environ, "LOCPATH": locales})
    if done.returncode:
        sys.exit(f"{mode}: {done.stdout}{done.stderr}")
    digests[mode] = done.stdout.split()[-1]
print(digests)
sys.exit(len(set(digests.values())) != 1)
