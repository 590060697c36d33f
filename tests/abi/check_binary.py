#!/usr/bin/env python3
"""check_binary.py LIBRARY API_JSON: what the library gives a process and what it takes from it.

Exports: the functions of the headers, each and no more, under the version of the map; nothing of C++, nothing unique
(which would keep a copy from being unloaded and clash across copies).
Needs: the libraries listed below, and from each only what it is known to give: an undefined name that a host happens to
export (Node exports zlib, OpenSSL and half of std) would bind to the host's.
Shape: SONAME, no run path, no executable stack, read-only after relocation, bound at load, no text relocations, no
static TLS, and nothing that runs at load or exit but the compiler's own and what is listed."""
import json
import re
import subprocess
import sys

library, description = sys.argv[1:]
with open(description) as file:
    api = json.load(file)
VERSION = f"{api['constants']['GYR_VERSION_MAJOR']}.{api['constants']['GYR_VERSION_MINOR']}"
# Each library with the names that may come from it; versioned ones by their version's prefix.
NEEDED = {
    "libc.so.6": r".*@GLIBC_[0-9.]+",
    "libm.so.6": r".*@GLIBC_[0-9.]+",
    "ld-linux-x86-64.so.2": r"__tls_get_addr@GLIBC_[0-9.]+",
    "libgcc_s.so.1": r".*@GCC_[0-9.]+",
    "libstdc++.so.6": r".*@(GLIBCXX|CXXABI)_[0-9.]+",
    "libhwy.so.1": r".*@HWY_0",
    "liblz4.so.1": r"LZ4_\w+",
}
WEAK = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__gmon_start__", "__cxa_finalize"}
NEWEST_GLIBC = (2, 36)  # Debian 12
# A library in a stranger's process never calls these.
NEVER = set("""
  exit _exit _Exit quick_exit abort atexit on_exit __cxa_atexit __cxa_thread_atexit signal sigaction setlocale uselocale
  localeconv setenv putenv unsetenv clearenv chdir fchdir umask fork vfork system popen dlclose pthread_atfork
  __register_atfork fesetround fesetenv feenableexcept stdin stdout stderr printf __printf_chk puts putchar perror socket
  connect strtod atof sscanf __isoc99_sscanf __isoc23_sscanf
""".split())
# They come with the JSON tokenizer, whose numbers we read again (base/json.cpp).
EXCUSED = {"strtod", "localeconv"}
problems = []


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check_exports():
    wanted = {function["name"] for function in api["functions"]}
    exported = set()
    for line in run("nm", "-D", "--defined-only", "--with-symbol-versions", library).splitlines():
        kind, name = line.split()[-2:]
        name, _, version = name.partition("@@")
        if kind == "A" and name == f"GYR_{VERSION}":
            continue  # the version itself
        exported.add(name)
        if kind != "T":
            problems.append(f"{name} has kind {kind}, expected a function (T)")
        if version != f"GYR_{VERSION}":
            problems.append(f"{name} has version {version or 'none'}, expected GYR_{VERSION}")
    problems.extend(f"{name} is declared but not exported" for name in sorted(wanted - exported))
    problems.extend(f"{name} is exported but not declared" for name in sorted(exported - wanted))
    return len(exported)


def check_needs(dynamic):
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    problems.extend(f"needs {name}, which is not in the list of this script" for name in needed if name not in NEEDED)
    allowed = re.compile("|".join(f"(?:{NEEDED[name]})" for name in needed if name in NEEDED))
    lines = run("nm", "-D", "--undefined-only", "--with-symbol-versions", library).splitlines()
    names = [line.split()[-1] for line in lines]
    for name in names:
        plain = name.split("@")[0]
        if plain not in WEAK and not allowed.fullmatch(name):
            problems.append(f"{name} is undefined and comes from none of the listed libraries")
        if plain in NEVER - EXCUSED:
            problems.append(f"{plain} is called; a library in a stranger's process does not do that")
        glibc = re.search(r"@GLIBC_(\d+)\.(\d+)", name)
        if glibc and (int(glibc[1]), int(glibc[2])) > NEWEST_GLIBC:
            problems.append(f"{name} is newer than glibc {NEWEST_GLIBC[0]}.{NEWEST_GLIBC[1]}")
    plain = {name.split("@")[0] for name in names}
    for name in sorted(EXCUSED - plain):
        print(f"{name} is excused in this script but no longer called: take it off the list")
    return len(names)


def check_shape(dynamic):
    flags = " ".join(re.findall(r"\(FLAGS(?:_1)?\)(.*)", dynamic))
    soname = re.findall(r"\(SONAME\).*\[(.*)\]", dynamic)
    if soname != [f"libgyr.so.{VERSION}"]:
        problems.append(f"SONAME is {soname}, expected libgyr.so.{VERSION}")
    for tag in ("RPATH", "RUNPATH", "TEXTREL", "SYMBOLIC", "PREINIT_ARRAY"):
        if f"({tag})" in dynamic:
            problems.append(f"dynamic section has {tag}")
    for wanted in ("NOW", "NODELETE", "BIND_NOW"):
        if wanted not in flags.split():
            problems.append(f"flags lack {wanted}: {flags}")
    for unwanted in ("STATIC_TLS", "TEXTREL", "GLOBAL", "INITFIRST", "INTERPOSE"):
        if unwanted in flags.split():
            problems.append(f"flags have {unwanted}")
    headers = run("readelf", "-lW", library)
    stack = re.search(r"GNU_STACK.* (\S+) +0x", headers)
    if not stack or "E" in stack[1]:
        problems.append("the stack is executable")
    if "GNU_RELRO" not in headers:
        problems.append("no GNU_RELRO segment")
    if re.search(r"LOAD.* RWE ", headers):
        problems.append("a segment is writable and executable")


# gcc's own.
AT_LOAD = {"frame_dummy"}
AT_EXIT = {"__do_global_dtors_aux"}


def check_constructors():
    """The functions of .init_array and .fini_array by name, where the library still has its symbol table."""
    sections = {part[1]: (int(part[3], 16), int(part[5], 16)) for part in
                (line.replace("[ ", "[").split() for line in run("readelf", "-SW", library).splitlines())
                if len(part) > 6 and part[1] in (".init_array", ".fini_array")}
    symbols = {int(line.split()[0], 16): line.split()[2] for line in run("nm", library).splitlines()
               if len(line.split()) == 3 and line.split()[1] in "tT"} if has_symbols() else {}
    targets = {int(part[0], 16): int(part[-1], 16) for part in
               (line.split() for line in run("readelf", "-rW", library).splitlines()) if "R_X86_64_RELATIVE" in part}
    for section, known in ((".init_array", AT_LOAD), (".fini_array", AT_EXIT)):
        start, size = sections.get(section, (0, 0))
        if size // 8 > len(known):
            problems.append(f"{section} has {size // 8} entries, expected at most {len(known)}")
        for at in range(start, start + size, 8):
            name = symbols.get(targets.get(at), "?")
            if symbols and name not in known:
                problems.append(f"{name} runs at {'load' if section == '.init_array' else 'exit'} ({section})")


def has_symbols():
    return ".symtab" in run("readelf", "-SW", library)


dynamic_section = run("readelf", "-dW", library)
exports, undefined = check_exports(), check_needs(dynamic_section)
check_shape(dynamic_section)
check_constructors()
print("\n".join(problems) if problems else f"{exports} functions exported, {undefined} names needed, all as listed")
sys.exit(1 if problems else 0)
