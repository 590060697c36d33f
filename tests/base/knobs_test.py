#!/usr/bin/env python3
"""knobs_test.py COMPILER: the test knobs of src/base/knobs.h do not exist without GYR_FAULTS, which releases lack."""
import pathlib
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parents[2]
header = root / "src/base/knobs.h"
outside = [
    str(p)
    for folder in ("src", "kernels", "include")
    for p in sorted((root / folder).rglob("*"))
    if p.is_file() and p != header and b"GYR_TEST_" in p.read_bytes()
]
assert not outside, f"test knobs belong into {header}: {outside}"

code = """
#include "base/knobs.h"
using namespace gyr::knobs;
uint64_t all(uint64_t x) {
  return uint64_t(simd() != nullptr) + threads(uint32_t(x)) + table_hash(x) + mapping() + capacity(x);
}
"""
with tempfile.TemporaryDirectory() as folder:
    source, made = pathlib.Path(folder, "all.cpp"), pathlib.Path(folder, "all.o")
    source.write_text(code)
    for define, knobs in ("-UGYR_FAULTS", False), ("-DGYR_FAULTS", True):
        command = [sys.argv[1], "-std=c++20", "-O2", define, f"-I{root}/src", "-c", str(source), "-o", str(made)]
        subprocess.run(command, check=True)
        found = b"GYR_TEST_" in made.read_bytes()
        assert found == knobs, f"{define}: knobs {'are' if found else 'are not'} in the object file"
        # Nor may anything else of it remain: without faults the functions are constants.
        names = subprocess.run(["nm", "-u", str(made)], check=True, capture_output=True, text=True).stdout
        assert ("getenv" in names) == knobs, names
