#!/usr/bin/env python3
"""Checks the include graph: each folder of src/ includes only itself, folders below it, and public headers.

base < io < exec < device < data < {workflow, store < {table, cache}, index, model, monitor} < pipeline < bundle < capi.
Siblings never include each other. kernels/ includes only base, so that library, plugins, tests and benchmarks share it.
All of src/ is one namespace, so a type name may be defined in one header only: two of a name would share inline functions.
"""
import pathlib
import re
import sys

ORDER = ["base", "io", "exec", "device", "data"]
ALLOWED = {name: set(ORDER[:position]) for position, name in enumerate(ORDER)}
COMMON = set(ORDER)
ALLOWED |= {name: COMMON for name in ("workflow", "store", "index", "model", "monitor")}
ALLOWED |= {name: COMMON | {"store"} for name in ("table", "cache")}
COMPONENTS = {"workflow", "table", "cache", "index", "model", "monitor"}
ALLOWED["pipeline"] = COMMON | COMPONENTS
ALLOWED["bundle"] = ALLOWED["pipeline"] | {"pipeline"}
ALLOWED["capi"] = ALLOWED["bundle"] | {"bundle"}
ALLOWED["kernels"] = {"base"}
WITHOUT_KERNELS = {"base", "io"}  # everything above them may call a kernel


def problems(root):
    """Yields "file:line: why" for each include that breaks the rule."""
    for top in ("src", "kernels"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".h", ".hpp", ".cpp", ".cu", ".cuh", ".inc"):
                continue
            relative = path.relative_to(root)
            layer = "kernels" if top == "kernels" else relative.parts[1]
            if layer not in ALLOWED:
                yield f"{relative}:1: folder {layer} is not a layer; add it to {pathlib.Path(__file__).name}"
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                if match:
                    why = check(root, path, layer, match[1])
                    if why:
                        yield f"{relative}:{number}: {why}"


def repeated_types(root):
    """Yields "file:line: why" for each type that a second header defines in namespace gyr."""
    first = {}
    for path in sorted((root / "src").rglob("*.h")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r"(?:class|struct|union|enum class) (?:alignas\(\w+\) )?(\w+)(?!::)\b(?!::)[^;]*$", line)
            if match and match[1] in first:
                yield f"{path.relative_to(root)}:{number}: {match[1]} is defined in {first[match[1]]}, too; rename one"
            elif match:
                first[match[1]] = path.relative_to(root)


def check(root, path, layer, include):
    parts = pathlib.PurePosixPath(include).parts
    if ".." in parts:
        return f'"{include}" climbs up; include from the source root'
    if len(parts) == 1 or (path.parent / include).exists():
        return None  # a neighbour
    target = parts[0]
    if target == layer or target in ALLOWED[layer] or target == "gyr":
        return None
    if target == "kernels" and layer not in WITHOUT_KERNELS:
        return None
    if target not in ALLOWED:
        return None  # a third party's header
    return f'{layer} must not include "{include}"'


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    root = root if root.is_dir() else root.parent.parent
    found = [*problems(root), *repeated_types(root)]
    print("\n".join(found) if found else "layers hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
