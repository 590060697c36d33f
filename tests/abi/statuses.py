"""Which statuses a function may answer: those of its @return, and the universal ones (gyr/base.h, docs/conventions.md)."""
import re

# What any function may answer without listing it, and which functions that is.
UNIVERSAL = {
    "INVALID_ARGUMENT": lambda api, f: needs_pointer(api, f) or has_struct(api, f),
    "OPTIONS_TOO_NEW": lambda api, f: any(is_input(p["type"]) for p in structs(api, f)),
    "INVALID_HANDLE": lambda api, f: has_handle(api, f),
    "FORKED": lambda api, f: has_handle(api, f),
    "OUT_OF_MEMORY": lambda api, f: True,
    "RESOURCE_EXHAUSTED": lambda api, f: has_handle(api, f),
    "INTERNAL": lambda api, f: True,
}


def names(api):
    """Status names without their prefix -> their numbers."""
    return {value["name"].removeprefix("GYR_E_").removeprefix("GYR_"): value["value"] for value in api["enums"][0]["values"]}


def handles(api):
    return {handle["name"] for handle in api["handles"]}


def sized(api):
    return {struct["name"] for struct in api["structs"] if struct["fields"][0]["name"] == "struct_size"}


def nullable(function, param):
    """Every NULL that a @param speaks of is an allowed one."""
    return bool(re.search(r"nullable|\bNULL\b", function["doc"]["params"][param["name"]]))


def has_handle(api, function):
    # A task belongs to no runtime, and is nowhere the only handle.
    return any(p["type"].get("base") in handles(api) and
               (p["type"].get("pointer") == 1 or p["type"].get("pointer") == 2 and p["type"]["const"])
               for p in function["params"])


def structs(api, function):
    """Parameters that point to structs with a struct_size."""
    return [p for p in function["params"]
            if p["type"].get("pointer") == 1 and p["type"].get("base") in sized(api) - {"gyr_error"}]


def is_input(kind):
    return kind["const"] or kind["base"] == "gyr_recommend_args"  # which is both


def has_struct(api, function):
    return bool(structs(api, function))


def needs_pointer(api, function):
    return any(p["type"].get("pointer", 0) > 0 and not nullable(function, p)
               and not (p["type"]["pointer"] == 1 and p["type"]["base"] in handles(api)) for p in function["params"])


def outside_parentheses(text):
    return re.sub(r"\([^)]*\)", "", text)


def words(text):
    """What looks like a status."""
    return re.findall(r"\b[A-Z][A-Z_]+\b", outside_parentheses(text))


def listed(api, function):
    """Statuses of @return, those of the function that it refers to included."""
    text = function["doc"]["return"]
    found = {word.removeprefix("GYR_") for word in words(text)}
    for other in re.findall(r"\bas (gyr_\w+)", text):
        found |= listed(api, next(f for f in api["functions"] if f["name"] == other))
    return found


def universal(api, function):
    return {status for status, may in UNIVERSAL.items() if may(api, function)}


def allowed(api, function):
    if function["return"]["c"] != "gyr_status":
        return set()
    return {"OK"} | listed(api, function) | universal(api, function)
