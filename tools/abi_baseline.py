#!/usr/bin/env python3
"""Freezes the interface of this version, which later versions are held to.

  tools/abi_baseline.py [LIBRARY]   writes tests/abi/gyr-<version>.abi (abidw's description of the types and functions
                                    in LIBRARY, default build/dev/libgyr.so) and tests/abi/frozen/<version>/include
  tools/abi_baseline.py --release   does the same, copies the host scenario of the tests beside the headers (the program
                                    of this release), and marks the version as released

While a version is unreleased, run it after each change of the interface. From its release on this tool refuses to
change what is frozen, and abidiff, the frozen headers and their program hold every later build to it."""
import datetime
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADERS = ROOT / "include/gyr"


def version():
    text = (HEADERS / "base.h").read_text()
    return ".".join(re.search(rf"#define GYR_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR"))


def frozen(name=None):
    return ROOT / "tests/abi/frozen" / (name or version())


def baseline(name=None):
    return ROOT / f"tests/abi/gyr-{name or version()}.abi"


def is_released(name=None):
    return (frozen(name) / "released").exists()


def describe(library, output):
    """What abidiff compares: functions and public types, without file names, lines and private types."""
    command = ["abidw", "--headers-dir", str(HEADERS), "--drop-private-types", "--no-corpus-path", "--no-comp-dir-path",
               "--no-show-locs", "--exported-interfaces-only", "--out-file", str(output), str(library)]
    subprocess.run(command, check=True)


def write_headers():
    target = frozen() / "include/gyr"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for header in sorted(HEADERS.glob("*.h")):
        shutil.copyfile(header, target / header.name)


def write_program():
    """The scenario as it is today, with the tables that are generated for it."""
    host, program = ROOT / "tests/host", frozen() / "program"
    program.mkdir()
    for pattern in ("scenario*.[ch]", "stream.[ch]", "linked.c"):
        for file in host.glob(pattern):
            shutil.copyfile(file, program / file.name)
    for kind in ("functions", "handles"):
        made = subprocess.run([sys.executable, host / "gen_api.py", ROOT / "tests/abi/gyr-api.json", kind],
                              check=True, capture_output=True)
        (program / f"{kind}.h").write_bytes(made.stdout)
    (frozen() / "released").write_text(f"{datetime.date.today()}\n")


def main():
    words = sys.argv[1:]
    if is_released():
        sys.exit(f"{version()} is released: what it promised stays. Raise GYR_VERSION_MINOR for a new interface")
    library = next((word for word in words if word != "--release"), ROOT / "build/dev/libgyr.so")
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "gyr.abi"
        describe(library, made)
        shutil.copyfile(made, baseline())
    write_headers()
    if "--release" in words:
        write_program()
    return 0


if __name__ == "__main__":
    sys.exit(main())
