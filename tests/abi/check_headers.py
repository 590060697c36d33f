#!/usr/bin/env python3
"""check_headers.py INCLUDE_DIR: every public header compiles alone, and all of them together in any order, as strict C11,
C17, C2x and C++20 with gcc and clang (those that are installed; one C and one C++ compiler at least), and includes nothing
but stddef.h, stdint.h and headers of its own."""
import pathlib
import re
import shutil
import subprocess
import sys

include = pathlib.Path(sys.argv[1])
headers = sorted(path.name for path in (include / "gyr").glob("*.h"))
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow", "-Wconversion", "-Wsign-conversion", "-Wundef",
          "-Wcast-qual", "-Wdouble-promotion", "-Wredundant-decls"]
C = (["-std=c11", "-std=c17", "-std=c2x"],
     ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wold-style-definition", "-Wc++-compat", "-x", "c"])
CPP = ["-std=c++20"], ["-Wold-style-cast", "-Wextra-semi", "-Wzero-as-null-pointer-constant", "-x", "c++"]
# What clang knows beyond that; left out: remarks on layout, on old standards and on C++ itself.
EVERYTHING = ["-Weverything", "-Wno-padded", "-Wno-c++98-compat", "-Wno-c++98-compat-pedantic",
              "-Wno-declaration-after-statement", "-Wno-pre-c2x-compat", "-Wno-documentation",
              "-Wno-documentation-unknown-command"]
COMPILERS = {"gcc": C, "clang": C, "g++": CPP, "clang++": CPP}
USE = """int gyr_probe(void);
int gyr_probe(void) {
  gyr_error err = GYR_ERROR_INIT;
  return err.code == GYR_OK && err.struct_size == sizeof err ? 0 : 1;
}
"""
programs = {header: f"#include <gyr/{header}>\n{USE}" for header in headers}
for name, order in (("all", headers), ("all, backwards", headers[::-1])):
    programs[name] = "".join(f"#include <gyr/{header}>\n" for header in order) * 2 + USE

failures, runs, languages = 0, 0, set()
for header in headers:
    text = (include / "gyr" / header).read_text()
    for included in re.findall(r"#\s*include\s*[<\"]([^>\"]+)", text):
        if included not in ("stddef.h", "stdint.h") and included.removeprefix("gyr/") not in headers:
            failures += 1
            print(f"{header} includes {included}")
for compiler, (standards, flags) in COMPILERS.items():
    if not shutil.which(compiler):
        continue
    languages.add(flags[-1])
    for standard in standards:
        for name, program in programs.items():
            extra = EVERYTHING if compiler.startswith("clang") and name.startswith("all") else []
            command = [compiler, standard, *STRICT, *extra, "-fsyntax-only", f"-I{include}", *flags, "-"]
            done = subprocess.run(command, input=program, capture_output=True, text=True)
            runs += 1
            if done.returncode:
                failures += 1
                print(f"{name}: {' '.join(command)}\n{done.stderr}")
if languages != {"c", "c++"}:
    sys.exit("a C and a C++ compiler are needed: gcc, g++, clang or clang++")
print(f"{runs} compilations of {len(headers)} headers, {failures} failed")
sys.exit(1 if failures else 0)
