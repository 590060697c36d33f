#!/usr/bin/env python3
"""Looks for prefetch instructions in the functions of libgyr.so that are slow without them: check_prefetches.py LIBRARY

GCC takes a function that only prefetches for one without effect, and drops calls of it that it has not inlined by then:
nothing fails, and reading from memory takes twice as long. For optimised builds; x86-64 only, elsewhere skipped (77).
"""
import platform
import re
import subprocess
import sys

# A function's demangled name begins so, after its namespace of instructions or the return type of a template.
FUNCTIONS = ["dot_rows_at(", "l2_rows_at(", "unpack_rows(", "pool_rows(", "dot_codes_at(", "dot_codes_at_vnni(",
             "dot_stored_at(", "l2_stored_at(", "dot_coded_at(", "l2_coded_at(",
             "gyr::TableImpl::find_versions(", "gyr::KeyedRows::prefetch(", "gyr::KeyedRows::find<long, "]


def main():
    if platform.machine() != "x86_64":
        print("skipped: not x86-64")
        return 77
    listing = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", sys.argv[1]], check=True,
                             capture_output=True, text=True).stdout
    without, seen, name, wanted, found = [], set(), "", None, False

    def close():
        if wanted and not found:
            without.append(name)

    for line in listing.splitlines():
        head = re.match(r"[0-9a-f]+ <(.*)>:$", line)
        if head:
            close()
            name, found = head[1], False
            wanted = next((f for f in FUNCTIONS if re.search(r"(^|[ :])" + re.escape(f), name) and
                           not re.search(r"::reference::|_FUN|\[clone|\.cold", name)), None)
            if wanted:
                seen.add(wanted)
        elif "\tprefetch" in line:
            found = True
    close()
    for f in FUNCTIONS:
        if f not in seen:
            print(f"{f}: no such function in {sys.argv[1]}; put its new name into this list")
    for f in without:
        print(f"{f}: no prefetch instruction")
    return 1 if without or len(seen) < len(FUNCTIONS) else 0


if __name__ == "__main__":
    sys.exit(main())
