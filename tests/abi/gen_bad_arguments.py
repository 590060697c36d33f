#!/usr/bin/env python3
"""gen_bad_arguments.py API_JSON: the table of every function once more (C++, for bad_arguments.cpp), each entry making
wrong calls around the real one: every pointer NULL that must not be, every handle of another type, every count beyond any
memory. What is nullable and which array has which count is read from the doc tags, for fields from the tables here."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "host"))
import gen_api as gen  # noqa: E402  (reads the same description)
import statuses  # noqa: E402

# Pointer fields of input structs: when they must not be NULL (C++, over the struct `it`); None: they may be.
POINTERS = {
    "gyr_allocator": {"alloc": "true", "free": "true", "user_free": None},
    "gyr_logger": {"fn": "true", "user_free": None},
    "gyr_executor": {"parallel_for": "true", "user_free": None},
    "gyr_runtime_options": {"allocator": None, "logger": None, "executor": None, "device": None},
    "gyr_keys": {"ints": "it.count && it.dtype == GYR_DTYPE_INT64", "strings": "it.count && it.dtype == GYR_DTYPE_STRING"},
    "gyr_table_column": {"name": "true", "values": "it.values_capacity", "offsets": "it.offsets", "status": None,
                         "heap": "it.heap_capacity", "element_valid": None},
    "gyr_table_log_options": {},
    "gyr_get_column": {"name": "true", "default_value": None},
    "gyr_get_destination": {"values": "it.values_capacity", "offsets": "it.offsets", "status": None,
                            "heap": "it.heap_capacity", "element_valid": None},
    "gyr_as_of_options": {"key": None, "time": None, "columns": "it.n_columns", "prefix": None},
    "gyr_cache_options": {"default_row": "it.miss == GYR_CACHE_MISS_DEFAULT", "tiers": None},
    "gyr_cache_tiers": {"below": None, "folder": None},
    "gyr_cache_tier": {"fetch": "true", "put": None, "remove": None, "close": None},
    "gyr_cache_delta": {"source": "true", "keys": "it.n", "rows": "it.n", "removed": "it.n_removed"},
    "gyr_index_options": {},
    "gyr_search_args": {"queries": "it.n", "filter": "it.filter_bits", "out_ids": "it.n", "out_scores": "it.n",
                        "out_counts": "it.n", "selection": None, "allowed_ids": "it.n_allowed_ids",
                        "allowed_offsets": None},
    "gyr_index_filter_options": {"ids": "it.n_ids", "table": "it.condition", "condition": "it.table",
                                 "keys": None},
    "gyr_evaluate_args": {"queries": None, "selection": None},
    "gyr_ranking_args": {"recommended": "it.n", "counts": None, "relevant": "it.relevant_offsets[it.n]",
                         "relevant_offsets": "it.n"},
    "gyr_recommend_args": {"users": "true", "context_names": "it.n_context", "context": "it.n_context",
                           "out_ids": "it.users->count", "out_string_ids": None, "out_scores": "it.users->count",
                           "out_stage_scores": None, "out_counts": "it.users->count", "out_user_status": None,
                           "trace": None, "workspace": None},
}
# Their 64-bit numbers: True where it counts what is there, False where any number is right.
NUMBERS = {
    "gyr_runtime_options": {"memory_budget": False}, "gyr_keys": {"count": True},
    "gyr_table_column": {"values_capacity": False, "heap_capacity": False}, "gyr_as_of_options": {"n_columns": True},
    "gyr_get_destination": {"values_capacity": False, "heap_capacity": False},
    "gyr_table_log_options": {"flush_interval_us": True, "segment_bytes": True, "queue_bytes": True},
    "gyr_cache_options": {"capacity": True},
    "gyr_cache_tiers": {"max_rows": True, "max_bytes": False, "timeout_ns": False, "retry_ns": True,
                        "segment_bytes": False},
    "gyr_cache_delta": {"offset": False, "n": True, "n_removed": True},
    "gyr_index_options": {"seed": False, "reserve": True}, "gyr_search_args": {"n": True, "filter_bits": False, "n_allowed_ids": True},
    "gyr_index_filter_options": {"n_ids": True, "n_keys": True}, "gyr_evaluate_args": {"n": False},
    "gyr_ranking_args": {"n": True}, "gyr_recommend_args": {"n_context": True, "seed": False, "generation": False},
}
# Numbers of parameters that say how much room there is, which may be more than is needed.
ROOM = {"capacity", "capacity_rows", "scratch_size"}
FILLED_ON_FAILURE = {"gyr_upsert_stats"}  # says so
COUNT_OF = {"rows": "capacity_rows"}  # `[rows]`: the room for them

trials = []


def trial(function, what):
    trials.append(f"{function['name']}.{what}")
    return f'"{trials[-1]}"'


def count_of(function, param):
    """How many elements an array parameter has, as C++ over the parameters; None for what is no array."""
    found = re.match(r"\[([^\],\[]*(?:\[[^\]]*\])?[^\],]*)[\],]", function["doc"]["params"][param["name"]])
    if not found or not set(re.findall(r"[a-z]\w*", found[1])) <= {p["name"] for p in function["params"]}:
        return None
    return COUNT_OF.get(found[1], found[1])


def is_handle(kind):
    return gen.points_to(kind, gen.HANDLES)


def is_pointer(kind):
    return kind.get("pointer", 0) > 0 or kind["c"].endswith("*")


def kept(function):
    """What a refused call leaves alone: everything that it could write to."""
    out = []
    for param in function["params"]:
        kind, name = param["type"], param["name"]
        if not is_pointer(kind) or is_handle(kind) or kind.get("base") in FILLED_ON_FAILURE | {"gyr_error"}:
            continue
        if kind.get("const") or "void" in kind["c"] or kind["c"].startswith("const char *const"):
            continue
        count = count_of(function, param) or ("capacity" if kind["c"] == "char *" else "1")
        out.append(f"{{{name}, uint64_t({count}), sizeof *{name}}}")
    return f"{{{', '.join(out)}}}"


def call(function, **replaced):
    made = gen.arguments(function, **{"err": "err", **replaced})
    return f"[&](gyr_error *err) {{ return real.{gen.short(function['name'])}({made}); }}"


def refuse(function, status, what, made, condition="true"):
    name = what.split(".")[-1]
    guard = "" if condition == "true" else f"  if ({condition})\n  "
    print(f"{guard}  refuse({trial(function, what)}, \"{name}\", {status}, kept, {made});")


def parameters(function):
    for param in function["params"]:
        kind, name = param["type"], param["name"]
        if not is_pointer(kind) or name == "err":
            continue
        if is_handle(kind):
            if not statuses.nullable(function, param):
                refuse(function, "GYR_E_INVALID_HANDLE", name, call(function, **{name: "nullptr"}))
            other = f"reinterpret_cast<{kind['c']}>(of_no_type)"
            refuse(function, "GYR_E_INVALID_HANDLE", f"other type.{name}", call(function, **{name: other}))
        elif not statuses.nullable(function, param):
            count = count_of(function, param)
            refuse(function, "GYR_E_INVALID_ARGUMENT", name, call(function, **{name: "nullptr"}),
                   f"{count}" if count else "true")


def fields(function, struct, source, made, path):
    """Every field of one struct wrong in turn; `made` is the call with the changed copy `it`."""
    info = gen.STRUCTS[struct]
    pointers = {field["name"] for field in info["fields"] if is_pointer(field["type"]) or "(*" in field["type"]["c"]}
    numbers = {field["name"] for field in info["fields"] if field["type"]["c"] == "uint64_t"}
    if pointers != set(POINTERS[struct]) or numbers != set(NUMBERS.get(struct, {})):
        sys.exit(f"{struct}: say in gen_bad_arguments.py when {pointers ^ set(POINTERS[struct])} may be NULL, and what "
                 f"{numbers ^ set(NUMBERS.get(struct, {}))} count")
    there = source if source.isidentifier() or "." in source else "true"  # an element of an array is
    print(f"  if ({there}) {{\n    [[maybe_unused]] {struct} it = *{source};")
    for field, condition in POINTERS[struct].items():
        if condition is not None:
            guard = "" if condition == "true" else f"if ({condition}) "
            print(f"    {guard}{{\n      Without without(&it.{field});\n      "
                  f"refuse({trial(function, path + field)}, \"{field}\", GYR_E_INVALID_ARGUMENT, kept, {made});\n    }}")
    for field in [field for field in info["fields"] if is_handle(field["type"])]:
        other = f"reinterpret_cast<{field['type']['c']}>(of_no_type)"
        print(f"    {{\n      Without without(&it.{field['name']});\n      it.{field['name']} = {other};\n      "
              f"refuse({trial(function, path + 'other type.' + field['name'])}, \"{field['name']}\", "
              f"GYR_E_INVALID_HANDLE, kept, {made});\n    }}")
    for field, counts in NUMBERS.get(struct, {}).items():
        if counts:
            print(f"    refuse_counts({trial(function, path + field)}, kept, &it.{field}, {made});")
    print("  }")


def structs(function):
    for param in statuses.structs(gen.API, function):
        name, struct = param["name"], param["type"]["base"]
        if not statuses.is_input(param["type"]):
            continue
        fields(function, struct, name, call(function, **{name: "&it"}), f"{name}.") if count_of(function, param) is None \
            else array_fields(function, param)
        for field in gen.nested(struct):
            inner, path = field["type"]["base"], f"{name}->{field['name']}"
            print(f"  if ({name}) {{\n  {struct} outer = *{name};")
            made = call(function, **{name: "&outer"}).replace("{ return", f"{{ outer.{field['name']} = &it; return")
            fields(function, inner, f"outer.{field['name']}", made, f"{name}.{field['name']}.")
            print("  }")


def array_fields(function, param):
    """Each of several structs."""
    name, struct, count = param["name"], param["type"]["base"], count_of(function, param)
    print(f"  for (uint64_t i = 0; i < {count}; i++) {{\n  std::vector<{struct}> all({name}, {name} + {count});")
    made = call(function, **{name: "all.data()"}).replace("{ return", "{ all[i] = it; return")
    fields(function, struct, f"({name} + i)", made, f"{name}.")
    print("  }")


def values(function):
    for param in function["params"]:
        if gen.points_to(param["type"], {"gyr_value"}) and param["type"]["const"]:
            name = param["name"]
            print(f"  refuse_values({trial(function, name + '.count')}, kept, {name}, {count_of(function, param)}, "
                  f"[&](const gyr_value *{name}, gyr_error *err) {{ return real.{gen.short(function['name'])}"
                  f"({gen.arguments(function)}); }});")


def counts(function):
    arrays = [p for p in function["params"] if is_pointer(p["type"])]
    for param in function["params"]:
        name = param["name"]
        if param["type"]["c"] != "uint64_t":
            continue
        counted = [p["name"] for p in arrays if count_of(function, p) == name]
        stream = any("ArrowArrayStream" in p["type"]["c"] for p in function["params"])
        if name not in ROOM and any(re.search(rf"\b{name}\b", count_of(function, p) or "") for p in arrays):
            print(f"  refuse_counts({trial(function, name)}, kept, &{name}, {call(function)});")
        elif name in ROOM and gen.repeatable(function) and not stream and "out" not in [p["name"] for p in arrays]:
            print(f"  accept_room({trial(function, name)}, &{name}, {call(function)});")
        # Nothing there: the arrays may be NULL. Afterwards, for an empty thing may be one, too.
        if counted and name not in ROOM:
            nothing = {name: "0", **{array: "nullptr" for array in counted}}
            made = call(function, **nothing)
            if out := gen.creates(function):  # and what it made goes again
                handle = out["type"]["base"]
                body = gen.arguments(function, **{"err": "err", **nothing, out["name"]: "&made"})
                made = (f"[&](gyr_error *err) {{ {handle} *made = nullptr; "
                        f"gyr_status status = real.{gen.short(function['name'])}({body}); "
                        f"real.{handle.removeprefix('gyr_')}_destroy(made); return status; }}")
            yield f"  accept_nothing({trial(function, name + ' = 0')}, kept, {made});"


def entry(function):
    print(gen.signature(function, "bad"), "GYR_NOEXCEPT {")
    real = f"real.{gen.short(function['name'])}({gen.arguments(function)})"
    if function["return"]["c"] == "gyr_status":
        print(f"  [[maybe_unused]] const std::vector<Kept> kept{kept(function)};")
        parameters(function)
        structs(function)
        values(function)
        after = list(counts(function))
        print("\n".join([f"  gyr_status answer = {real};", *after, "  return answer;"]))
    else:
        for param in function["params"]:  # no status to say no with: it does nothing
            if is_pointer(param["type"]) and re.search("nullable", function["doc"]["params"][param["name"]]):
                trial_name = trial(function, param["name"])
                print(f"  ignore({trial_name}, {kept(function)}, [&] {{ "
                      f"(void)real.{gen.short(function['name'])}({gen.arguments(function, **{param['name']: 'nullptr'})}); }});")
        print(f"  return {real};")
    print("}")


for each in gen.API["functions"]:
    entry(each)
gen.print_table("bad")
print("static const char *const kTrials[] = {")
print(",\n".join(f'  "{name}"' for name in trials))
print("};")
