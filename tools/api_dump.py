#!/usr/bin/env python3
"""Reads the public headers through clang's JSON AST and writes what is generated from them.

  tests/abi/gyr-api.json            the API as data: what bindings are generated from, and what reviews of the ABI read
  bindings/python/src/gyr/_raw.py   ctypes declarations
  cmake/gyr.map                     linker version script

  tools/api_dump.py                   write all three
  tools/api_dump.py --check           fail when one of them differs from the headers
  tools/api_dump.py --version-script  print the version script
"""
import argparse
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"
API_JSON = ROOT / "tests/abi/gyr-api.json"
RAW_PY = ROOT / "bindings/python/src/gyr/_raw.py"
VERSION_SCRIPT = ROOT / "cmake/gyr.map"
TAGS = ("ownership", "threadsafe", "blocking", "since")

SCALARS = {
    "float": "c_float", "double": "c_double", "char": "c_char", "int": "c_int", "uintptr_t": "c_size_t",
    **{f"{sign}int{bits}_t": f"c_{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


# ---- clang ----

def run_clang(clang, *flags):
    command = [clang, "-std=c11", f"-I{INCLUDE}", *flags, str(INCLUDE / "gyr/gyr.h")]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit(f"{clang} not found: install it (apt-get install clang) or set CLANG")
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def read_ast(clang):
    flags = ["-Xclang", "-ast-dump=json", "-fsyntax-only", f"-fcomment-block-commands={','.join(TAGS)}"]
    return json.loads(run_clang(clang, *flags))["inner"]


def read_macros(clang):
    """Numeric #defines of gyr."""
    macros = {}
    for line in run_clang(clang, "-dM", "-E").splitlines():
        match = re.fullmatch(r"#define (GYR_[A-Z0-9_]+) (\d+)", line)
        if match:
            macros[match[1]] = int(match[2])
    return dict(sorted(macros.items()))


# ---- from AST nodes to plain data ----

def comment_text(node):
    if node["kind"] == "TextComment":
        return node["text"]
    return "".join(comment_text(child) for child in node.get("inner", []))


def squeeze(text):
    return " ".join(text.split())


def read_doc(node):
    """{"brief": ..., "params": {...}, "return": ..., "ownership": ...}, only what is written."""
    doc = {}
    for child in node.get("inner", []):
        if child["kind"] != "FullComment":
            continue
        for part in child["inner"]:
            text = squeeze(comment_text(part))
            if part["kind"] == "ParagraphComment" and text:
                doc["brief"] = f"{doc['brief']} {text}" if "brief" in doc else text
            elif part["kind"] == "ParamCommandComment":
                doc.setdefault("params", {})[part["param"]] = text
            elif part["kind"] == "BlockCommandComment":
                doc[part["name"]] = text
    return doc


def read_type(text):
    """Splits a C type into its parts: base, const of the base, pointer depth, array length or callback."""
    text = squeeze(text)
    callback = re.fullmatch(r"(.+?)\(\*\)\((.*)\)", text)
    if callback:
        parts = re.split(r",\s*(?![^()]*\))", callback[2])  # not the commas of a callback's callback
        arguments = [] if callback[2] in ("", "void") else [read_type(part) for part in parts]
        return {"c": text, "callback": {"return": read_type(callback[1]), "params": arguments}}
    array = re.fullmatch(r"(.+?)\[(\d+)\]", text)
    if array:
        return {"c": text, **{k: v for k, v in read_type(array[1]).items() if k != "c"}, "array": int(array[2])}
    base = text.split("*")[0]
    words = [word for word in base.split() if word not in ("const", "struct")]
    return {"c": text, "base": words[0], "const": "const" in base.split(), "pointer": text.count("*")}


def read_struct(node):
    fields = []
    for child in node.get("inner", []):
        if child["kind"] == "FieldDecl":
            fields.append({"name": child["name"], "type": read_type(child["type"]["qualType"]), "doc": read_doc(child)})
    return {"name": node["name"], "doc": read_doc(node), "fields": fields}


def read_function(node):
    params = [{"name": child["name"], "type": read_type(child["type"]["qualType"])}
              for child in node.get("inner", []) if child["kind"] == "ParmVarDecl"]
    returned = node["type"]["qualType"].split("(")[0]
    return {"name": node["name"], "return": read_type(returned), "params": params, "doc": read_doc(node)}


def read_enum(node, type_name, type_doc):
    """type_name is the typedef that stands before the enum, None for a set of flags or values. The typedef bears the
    description of both."""
    values, following = [], 0
    for child in node["inner"]:
        if child["kind"] != "EnumConstantDecl":
            continue
        for expression in child.get("inner", []):
            if "value" in expression:
                following = int(expression["value"])
        values.append({"name": child["name"], "value": following, "doc": read_doc(child).get("brief", "")})
        following += 1
    return {"type": type_name, "doc": read_doc(node).get("brief", type_doc), "values": values}


def read_api(clang):
    api = {"constants": read_macros(clang), "typedefs": {}, "enums": [], "handles": [], "structs": [], "functions": []}
    declared, defined, last_typedef, typedef_doc = {}, set(), None, ""
    for node in read_ast(clang):
        name, kind = node.get("name", ""), node["kind"]
        ours = name.startswith(("gyr_", "Arrow"))
        if kind == "FunctionDecl" and ours:
            api["functions"].append(read_function(node))
        elif kind == "RecordDecl" and ours and node.get("completeDefinition"):
            defined.add(name)
            api["structs"].append(read_struct(node))
        elif kind == "RecordDecl" and ours:
            declared.setdefault(name, None)
        elif kind == "TypedefDecl" and ours and node["type"]["qualType"] in SCALARS:
            api["typedefs"][name] = node["type"]["qualType"]
            last_typedef, typedef_doc = name, read_doc(node).get("brief", "")
            continue  # an enum that follows at once lists its values
        elif kind == "TypedefDecl" and name in declared and declared[name] is None:
            declared[name] = read_doc(node).get("brief", "")
        elif kind == "EnumDecl" and any(child.get("name", "").startswith("GYR_") for child in node["inner"]):
            api["enums"].append(read_enum(node, last_typedef, typedef_doc))
        last_typedef, typedef_doc = None, ""
    api["handles"] = [{"name": name, "doc": doc or ""} for name, doc in sorted(declared.items()) if name not in defined]
    api["functions"].sort(key=lambda function: function["name"])
    return api


# ---- output ----

def api_json(api):
    """One line per item, so that a difference names what changed."""
    def entry(value):
        return json.dumps(value, ensure_ascii=False)
    parts = []
    for key, value in api.items():
        if isinstance(value, dict):
            body = ",\n".join(f"  {entry(name)}: {entry(item)}" for name, item in value.items())
            parts.append(f"{entry(key)}: {{\n{body}\n}}")
        else:
            body = ",\n".join(f"  {entry(item)}" for item in value)
            parts.append(f"{entry(key)}: [\n{body}\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def version_script(api):
    names = "\n".join(f"    {function['name']};" for function in api["functions"])
    node = f"GYR_{api['constants']['GYR_VERSION_MAJOR']}.{api['constants']['GYR_VERSION_MINOR']}"
    return f"{node} {{\n  global:\n{names}\n  local: *;\n}};\n"


class Ctypes:
    """Writes C types as ctypes expressions. Handles and pointers to numbers are c_void_p: they take addresses, arrays
    and byref() alike. Pointers to structs are typed. Input text is c_char_p."""

    def __init__(self, api):
        self.typedefs = api["typedefs"]
        self.structs = {struct["name"] for struct in api["structs"]}

    def value(self, kind, text="c_void_p"):
        if "callback" in kind:
            parts = [self.value(kind["callback"]["return"], "c_char_p")]
            parts += [self.value(part, "c_char_p") for part in kind["callback"]["params"]]
            return f"CFUNCTYPE({', '.join(parts)})"
        base, pointers = kind["base"], kind["pointer"]
        if pointers == 0 and base == "void":
            return "None"
        if pointers == 0:
            plain = base if base in self.structs else SCALARS[self.typedefs.get(base, base)]
            return f"{plain} * {kind['array']}" if "array" in kind else plain
        if pointers == 1 and base in self.structs:
            return f"POINTER({base})"
        if pointers == 1 and base == "char" and kind["const"]:
            return text
        return "c_void_p"


def raw_module(api):
    write = Ctypes(api)
    lines = ['"""ctypes declarations of libgyr. Generated by tools/api_dump.py from include/gyr: do not edit."""',
             "# ruff: noqa\nfrom ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int,",
             "                    c_int8, c_int16, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64,",
             "                    c_void_p)\n"]
    lines += [f"{name} = {value}" for name, value in api["constants"].items()]
    for enum in api["enums"]:
        lines.append("")
        if enum["type"]:
            lines.append(f"# {enum['type']}")
        lines += [f"{value['name']} = {value['value']}" for value in enum["values"]]
    for struct in api["structs"]:
        lines.append(f"\n\nclass {struct['name']}(Structure):")
        lines.append(f"    {json.dumps(struct['doc'].get('brief', struct['name']), ensure_ascii=False)}")
    lines.append("\n")
    for struct in api["structs"]:
        sized = any(field["name"] == "len" for field in struct["fields"])  # text with a length is not NUL-terminated
        lines.append(f"{struct['name']}._fields_ = [")
        for field in struct["fields"]:
            kind = write.value(field["type"], "c_void_p" if sized else "c_char_p")
            lines.append(f"    (\"{field['name']}\", {kind}),")
        lines.append("]")
    names = [struct["name"] for struct in api["structs"]]
    lines.append("\nSTRUCTS = (" + ", ".join(names) + ",)")
    lines.append("\n# name: (result, arguments, names of the arguments)\nFUNCTIONS = {")
    for function in api["functions"]:
        kinds = ", ".join(write.value(param["type"], "c_char_p") for param in function["params"])
        params = " ".join(param["name"] for param in function["params"])
        result = write.value(function["return"], "c_char_p")
        lines.append(f"    \"{function['name']}\": ({result}, [{kinds}], \"{params}\"),")
    lines.append("}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--version-script", action="store_true")
    parser.add_argument("--clang", default=os.environ.get("CLANG", "clang"))
    options = parser.parse_args()
    api = read_api(options.clang)
    if options.version_script:
        sys.stdout.write(version_script(api))
        return 0
    outputs = {API_JSON: api_json(api), RAW_PY: raw_module(api),
               VERSION_SCRIPT: version_script(api)}
    stale = False
    for path, text in outputs.items():
        if not options.check:
            path.write_text(text)
            continue
        present = path.read_text() if path.exists() else ""
        if present != text:
            stale = True
            name = str(path.relative_to(ROOT))
            difference = difflib.unified_diff(present.splitlines(), text.splitlines(), name, "from the headers", "", "", 1)
            print("\n".join(list(difference)[:40]))
            print(f"{name} differs from include/gyr: run tools/api_dump.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
