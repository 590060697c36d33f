#!/usr/bin/env python3
"""abi_gate.py check LIBRARY: no frozen interface is broken: abidiff against tests/abi/gyr-*.abi, and the numbers that
abidiff does not see (enum values, types of typedefs) against the frozen headers.
abi_gate.py bite: the comparison notices every kind of break, tried on doctored copies of the headers."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import abi_baseline  # noqa: E402
import api_dump  # noqa: E402


def compare(old, new, additions_are_fine):
    """abidiff's exit status and words. Any status but 0 is a break: its bits call some breaks merely compatible. `old` is
    what abidw wrote: handles are mere declarations there, so what they are inside does not count. Told to drop private
    types here too, abidiff 2.2 takes every type of a description without locations for private, and sees nothing."""
    command = ["abidiff", "--no-show-locs", *(["--no-added-syms"] if additions_are_fine else []), str(old), str(new)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def numbers(include):
    """What callers have compiled in: values of enums, types behind typedefs."""
    api_dump.INCLUDE = include
    api = api_dump.read_api("clang")
    return {**api["typedefs"], **{value["name"]: value["value"] for enum in api["enums"] for value in enum["values"]}}


def compare_numbers(before, now, additions_are_fine):
    changed = [f"{name} was {value}, is {now.get(name, 'gone')}" for name, value in before.items() if now.get(name) != value]
    return changed + ([] if additions_are_fine else [f"{name} is new" for name in now.keys() - before.keys()])


def check(library):
    """Against what is released, functions may be added. What is not released yet is frozen exactly as it is."""
    failed = 0
    baselines = sorted((ROOT / "tests/abi").glob("gyr-*.abi"))
    for path in baselines:
        name = path.stem.removeprefix("gyr-")
        released = abi_baseline.is_released(name)
        status, words = compare(path, library, additions_are_fine=released)
        changed = compare_numbers(numbers(abi_baseline.frozen(name) / "include"), numbers(ROOT / "include"), released)
        if status or changed:
            failed += 1
            print(f"{library} differs from {path.name} (abidiff gave {status}):\n{words}" + "\n".join(changed))
            if not released:
                print("If this is meant: python3 tools/abi_baseline.py, and look at the difference")
    print(f"{len(baselines)} baselines, {failed} broken")
    return failed or not baselines


# What must be noticed: (what, header, text, replacement).
BREAKS = [
    ("a parameter becomes narrower", "index.h", "const int64_t *ids, const float *vectors, uint64_t n,",
     "const int64_t *ids, const float *vectors, uint32_t n,"),
    ("a parameter points to another type", "cache.h", "const int64_t *keys, uint64_t n, float *out",
     "const int32_t *keys, uint64_t n, float *out"),
    ("a parameter is added", "table.h", "gyr_table_destroy(gyr_table *table)", "gyr_table_destroy(gyr_table *table, int now)"),
    ("a result becomes another type", "base.h", "GYR_API uint64_t gyr_hash64(", "GYR_API uint32_t gyr_hash64("),
    ("every status becomes wider", "base.h", "typedef int32_t gyr_status;", "typedef int64_t gyr_status;"),
    ("a field is inserted", "index.h", "  uint64_t seed; ", "  uint64_t salt;\n  uint64_t seed; "),
    ("a field is appended", "index.h", "} gyr_index_options;", "  uint64_t more;\n} gyr_index_options;"),
    ("a field is removed", "device.h", "  int32_t numa_node;      /**< -1 = unknown */\n", ""),
    ("a field becomes another type", "runtime.h", "uint64_t memory_peak;", "int64_t memory_peak;"),
    ("fields change places", "data.h", "  double f;               /**< floats */\n  gyr_str s;              /**< string */",
     "  gyr_str s;\n  double f;"),
    ("an array becomes longer", "base.h", "char component[16];", "char component[24];"),
    ("a callback gets another argument", "runtime.h", "void (*fn)(const gyr_log_record *record, uintptr_t user);",
     "void (*fn)(const gyr_log_record *record, uintptr_t user, int level);"),
    ("a function is removed", "index.h", "GYR_API gyr_status gyr_index_slots(", "static gyr_status gyr_index_slots("),
    ("a status is renumbered", "base.h", "GYR_E_IO = 14,", "GYR_E_IO = 31,"),
    ("an enum value is removed", "index.h", ", GYR_METRIC_L2 = 3 };", " };"),
    ("a function is renamed", "base.h", "gyr_version(void)", "gyr_version_number(void)"),
]
ADDITION = ("index.h", "#ifdef __cplusplus\n}\n#endif\n#endif", "GYR_API int gyr_index_added(int x) GYR_NOEXCEPT;\n"
            "#ifdef __cplusplus\n}\n#endif\n#endif")


def build(include, folder):
    """A library of empty functions with the interface of these headers."""
    api_dump.INCLUDE = include
    hidden = re.findall(r"static \w+ (gyr_\w+)\(", (include / "gyr/index.h").read_text())
    functions = ["#include <gyr/gyr.h>", "#pragma GCC diagnostic ignored \"-Wreturn-type\""]
    for function in api_dump.read_api("clang")["functions"]:
        if function["name"] in hidden:
            continue
        params = ", ".join(f"{param['type']['c']} {param['name']}" for param in function["params"]) or "void"
        functions.append(f"{function['return']['c']} {function['name']}({params}) {{ }}")
    source, library = folder / "stub.c", folder / "libstub.so"
    source.write_text("\n".join(functions) + "\n")
    subprocess.run(["gcc", "-g", "-w", "-shared", "-fPIC", f"-I{include}", "-o", library, source], check=True)
    return library


def doctored(folder, name, header, text, replacement):
    include = folder / name / "include"
    shutil.copytree(ROOT / "include", include)
    if header:
        path = include / "gyr" / header
        content = path.read_text()
        if content.count(text) != 1:
            sys.exit(f"{header} no longer has {text!r} exactly once: choose another break")
        path.write_text(content.replace(text, replacement))
    return include, build(include, folder / name)


def bite():
    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        include, library = doctored(folder, "as it is", None, None, None)
        before, old = numbers(include), folder / "old.abi"
        abi_baseline.describe(library, old)
        cases = [("nothing", "again", None, None, None, False, False)]
        cases += [(what, str(i), *change, True, True) for i, (what, *change) in enumerate(BREAKS)]
        cases += [("a function is added", "added", *ADDITION, True, False)]
        for what, name, header, text, replacement, noticed, noticed_though_additions_are_fine in cases:
            new, library = doctored(folder, name, header, text, replacement)
            now = numbers(new)
            for fine, wanted in ((False, noticed), (True, noticed_though_additions_are_fine)):
                status, words = compare(old, library, fine)
                changed = compare_numbers(before, now, fine)
                if bool(status or changed) != wanted:
                    failures += 1
                    print(f"{what}: abidiff gave {status}, expected {'a difference' if wanted else '0'}\n{words}{changed}")
    print(f"{len(BREAKS)} kinds of break, {failures} gone wrong")
    return failures


if __name__ == "__main__":
    sys.exit(1 if (check(sys.argv[2]) if sys.argv[1] == "check" else bite()) else 0)
