#!/usr/bin/env python3
"""gen_api.py API_JSON KIND: C made from the description of the interface, so that a new function or struct is tested
without anyone remembering to.

  functions   a table of every function, filled by dlsym as bindings do it
  around      the same table once more, each entry calling before(name) and after(name, status) around the real one
  sizes       the same table once more, each entry trying its structs at other sizes before the real call (C++)
  handles     one handle of each type
  forked      every function that takes a handle, called on handles from before a fork()
  structs     name, size and fields of every struct with a struct_size
  answers     the statuses that every function may answer
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "abi"))
import statuses  # noqa: E402

with open(sys.argv[1]) as file:
    API = json.load(file)
STRUCTS = {struct["name"]: struct for struct in API["structs"]}
SIZED = [name for name, struct in STRUCTS.items() if struct["fields"][0]["name"] == "struct_size"]
HANDLES = {handle["name"] for handle in API["handles"]}
# Pointers to several structs, which lie struct_size apart: how many there are.
ARRAYS = {("gyr_table_get", "columns"): "n", ("gyr_table_get_as_of", "columns"): "n",
          ("gyr_get_plan_create", "columns"): "n", ("gyr_get_plan_run", "keys"): "n_keys",
          ("gyr_index_evaluate", "results"): "n_efforts",
          ("gyr_get_plan_run", "destinations"): "n", ("gyr_device_list", "out"): "capacity"}
# Values that two calls in a row need not agree on.
VOLATILE = {"gyr_device_info": "free_bytes", "gyr_runtime_info": "memory_used",
            "gyr_search_quality": "seconds"}


def short(name):
    return name.removeprefix("gyr_")


def signature(function, prefix):
    params = ", ".join(declare(param["type"], param["name"]) for param in function["params"]) or "void"
    return f"static {function['return']['c']} {prefix}_{short(function['name'])}({params})"


def declare(kind, name):
    return f"{kind['c']}{'' if kind['c'].endswith('*') else ' '}{name}"


def arguments(function, **replaced):
    return ", ".join(replaced.get(param["name"], param["name"]) for param in function["params"])


def points_to(kind, names):
    return kind.get("pointer") == 1 and kind.get("base") in names


def functions():
    names = [short(function["name"]) for function in API["functions"]]
    print("#include <dlfcn.h>\n#include <gyr/gyr.h>\n")
    print(f"enum {{ kFunctions = {len(names)} }};")
    print("typedef struct api {")
    for name in names:
        print(f"  __typeof__(gyr_{name}) *{name};")
    print("} api;\n")
    print("#ifdef GYR_LINKED /* the program is linked to the library: every function by its address */")
    print("static const api linked_api = {")
    for name in names:
        print(f"  gyr_{name},")
    print("};\n#endif\n")
    print("__attribute__((unused)) static const char *const kFunctionNames[kFunctions] = {")
    for name in names:
        print(f'  "gyr_{name}",')
    print("};\n")
    print("/* NULL, or the name of the first function that the library lacks. */")
    print("__attribute__((unused)) static const char *load_api(void *library, api *out) {")
    print("  for (int i = 0; i < kFunctions; i++) {")
    print("    void *found = dlsym(library, kFunctionNames[i]);")
    print("    if (!found) return kFunctionNames[i];")
    print("    ((void **)out)[i] = found;")
    print("  }\n  return 0;\n}")


def around():
    print("static api real;\nstatic void before(int function);\nstatic void after(int function, gyr_status status);\n")
    for number, function in enumerate(API["functions"]):
        nothing = function["return"]["c"] == "void"
        status = "result" if function["return"]["c"] == "gyr_status" else "GYR_OK"
        call = f"real.{short(function['name'])}({arguments(function)})"
        print(signature(function, "around"), "GYR_NOEXCEPT {")
        print(f"  before({number});")
        print(f"  {call};" if nothing else f"  {declare(function['return'], 'result')} = {call};")
        print(f"  after({number}, {status});")
        print("}" if nothing else "  return result;\n}")
    print_table("around")


def print_table(prefix):
    print(f"static const api {prefix}_api = {{")
    for function in API["functions"]:
        print(f"  {prefix}_{short(function['name'])},")
    print("};")


def handles():
    print("#include <gyr/gyr.h>\n\ntypedef struct handles {")
    for handle in sorted(HANDLES):
        print(f"  {handle} *{short(handle)};")
    print("} handles;")


def forked():
    print("/* Calls everything that takes a handle and gives a status; returns how many did not say GYR_E_FORKED. */")
    print("static inline int call_forked(const api *g, const handles *h, FILE *log) {")
    print("  int wrong = 0;")
    for function in API["functions"]:
        first = function["params"][0]["type"] if function["params"] else {}
        # A task belongs to no runtime.
        if function["return"]["c"] != "gyr_status" or not points_to(first, HANDLES - {"gyr_task"}):
            continue
        given = ["&err" if points_to(param["type"], {"gyr_error"}) else "0" for param in function["params"][1:]]
        call = f"g->{short(function['name'])}({', '.join([f'h->' + short(first['base'])] + given)})"
        print(f"  {{\n    gyr_error err = GYR_ERROR_INIT;\n    gyr_status status = {call};")
        print("    if (status != GYR_E_FORKED || !strstr(err.message, \"fork\")) {")
        print(f"      fprintf(log, \"{function['name']}: %s: %s\\n\", g->status_name(status), err.message);")
        print("      wrong++;\n    }\n  }")
    print("  return wrong;\n}")


def structs():
    print("typedef struct field_info { const char *name; uint32_t offset, size; } field_info;")
    print("typedef struct struct_info {\n  const char *name;\n  uint32_t size, fields;\n  const field_info *field;\n"
          "  const char *changing; /* a field that two calls in a row need not agree on */\n} struct_info;\n")
    for name, struct in STRUCTS.items():
        if not name.startswith("gyr_"):
            continue
        print(f"static const field_info fields_of_{name}[] = {{")
        for field in struct["fields"]:
            member = f"(({name} *)0)->{field['name']}"
            print(f"  {{\"{field['name']}\", offsetof({name}, {field['name']}), sizeof({member})}},")
        print("};")
        changing = f'"{VOLATILE[name]}"' if name in VOLATILE else "0"
        print(f"static const struct_info info_of_{name} = {{\"{name}\", sizeof({name}), {len(struct['fields'])}, "
              f"fields_of_{name}, {changing}}};")
    print("static const struct_info *const kStructs[] = {")
    print(",\n".join(f"  &info_of_{name}" for name in STRUCTS if name.startswith("gyr_")))
    print("};")


def answers():
    print("/* Bit s of kAnswers[f]: the contract of function f has status s (tests/abi/statuses.py). */")
    print("static const uint32_t kAnswers[] = {")
    numbers = statuses.names(API)
    for function in API["functions"]:
        mask = sum(1 << numbers[name] for name in statuses.allowed(API, function))
        print(f"  0x{mask or 1:06x}, /* {function['name']} */")
    print("};\n")
    print("/* Whether a function may answer so: by its number, or by its name. */")
    print("__attribute__((unused)) static int in_contract(int function, gyr_status status) {")
    print("  return status >= 0 && status < 32 && (kAnswers[function] >> status & 1);\n}")
    print("__attribute__((unused)) static int may_answer(const char *function, gyr_status status) {")
    print("  for (int i = 0; i < kFunctions; i++)")
    print("    if (!strcmp(kFunctionNames[i], function)) return in_contract(i, status);\n  return 0;\n}")


def nested(struct):
    """Fields that point to further sized input structs."""
    return [field for field in STRUCTS[struct]["fields"] if points_to(field["type"], SIZED) and field["type"]["const"]]


def creates(function):
    """The parameter that receives a new handle, if there is one."""
    for param in function["params"]:
        kind = param["type"]
        if kind.get("pointer") == 2 and kind.get("base") in HANDLES and not kind.get("const"):
            return param
    return None


def repeatable(function):
    """Whether a further call leaves everything as it is: it reads, or it makes something that is destroyed again, and
    takes no stream."""
    if any("ArrowArrayStream" in param["type"]["c"] and param["name"] != "out" for param in function["params"]):
        return False
    first = function["params"][0]["type"]
    return bool(creates(function) or first.get("const") or first.get("base") not in HANDLES)


def again(function, param, replaced):
    """A lambda that makes the call once more with `param` (and `replaced`) in place."""
    made = creates(function)
    call = f"real.{short(function['name'])}({arguments(function, **replaced, **({made['name']: '&made'} if made else {}))})"
    if made:
        base = made["type"]["base"]
        body = f"{base} *made = nullptr; gyr_status s = {call}; real.{short(base)}_destroy(made); return s;"
    elif function["return"]["c"] == "gyr_status":
        body = f"return {call};"
    else:
        body = f"{call}; return GYR_OK;"
    unused = "(void)err; " if function["params"][-1]["name"] != "err" else ""
    return f"[&]({param}, gyr_error *err) -> gyr_status {{ {unused}{body} }}"


def sizes():
    print("static api real;\n")
    for function in API["functions"]:
        print(signature(function, "sizes"), "GYR_NOEXCEPT {")
        for param in function["params"]:
            if points_to(param["type"], SIZED) and param["type"]["base"] != "gyr_error":
                vary(function, param)
        call = f"real.{short(function['name'])}({arguments(function)})"
        print(f"  {call};" if function["return"]["c"] == "void" else f"  return {call};")
        print("}")
    print_table("sizes")


def vary(function, param):
    name, struct = param["name"], param["type"]["base"]
    count = ARRAYS.get((function["name"], name), "1")
    output = not param["type"]["const"] and struct != "gyr_recommend_args"
    flags = f"{{{str(repeatable(function)).lower()}, {str(function['return']['c'] != 'void').lower()}}}"
    print(f"  if ({name}) vary_{'output' if output else 'input'}(\"{function['name']}\", info_of_{struct}, {name}, "
          f"{count}, {flags},\n      {again(function, declare(param['type'], name), {})});")
    for field in nested(struct) if count == "1" else []:
        inner = field["type"]["base"]
        given = f"const {inner} *inner"
        body = again(function, given, {name: "&outer"})
        head, rest = body.split("{ ", 1)
        print(f"  if ({name} && {name}->{field['name']}) vary_input(\"{function['name']}\", info_of_{inner}, "
              f"{name}->{field['name']}, 1, {flags},\n      {head}{{ {struct} outer = *{name}; "
              f"outer.{field['name']} = inner; {rest});")


if __name__ == "__main__":
    {"functions": functions, "handles": handles, "around": around, "forked": forked, "structs": structs, "sizes": sizes,
     "answers": answers}[sys.argv[2]]()
