#!/usr/bin/env python3
"""check_headers.py INCLUDE_DIR: every public header compiles alone, and all of them together in any order, as strict C11,
C17 and C++20 with gcc and clang (those that are installed; one C and one C++ compiler at least)."""
import pathlib
import shutil
import subprocess
import sys

include = pathlib.Path(sys.argv[1])
headers = sorted(path.name for path in (include / "gyr").glob("*.h"))
C = ["-std=c11", "-std=c17"], ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wc++-compat", "-x", "c"]
CPP = ["-std=c++20"], ["-x", "c++"]
COMPILERS = {"gcc": C, "clang": C, "g++": CPP, "clang++": CPP}
programs = {header: f"#include <gyr/{header}>\nint gyr_probe(void);\nint gyr_probe(void) {{ return 0; }}\n"
            for header in headers}
for name, order in (("all", headers), ("all, backwards", headers[::-1])):
    programs[name] = "".join(f"#include <gyr/{header}>\n" for header in order) * 2

failures, runs, languages = 0, 0, set()
for compiler, (standards, flags) in COMPILERS.items():
    if not shutil.which(compiler):
        continue
    languages.add(flags[-1])
    for standard in standards:
        for name, program in programs.items():
            command = [compiler, standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{include}",
                       *flags, "-"]
            done = subprocess.run(command, input=program, capture_output=True, text=True)
            runs += 1
            if done.returncode:
                failures += 1
                print(f"{name}: {' '.join(command)}\n{done.stderr}")
if languages != {"c", "c++"}:
    sys.exit("a C and a C++ compiler are needed: gcc, g++, clang or clang++")
print(f"{runs} compilations of {len(headers)} headers, {failures} failed")
sys.exit(1 if failures else 0)
