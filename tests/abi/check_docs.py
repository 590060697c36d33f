#!/usr/bin/env python3
"""check_docs.py API_JSON INCLUDE_DIR: every public function is documented in full and in order (brief, @param for each
parameter by name and in order, @return, @ownership, @threadsafe, @blocking, @since), every struct, field, handle, enum
type and enum value has its line; an @return names statuses, and the universal ones (statuses.py, as the head of gyr/base.h
and docs/conventions.md have them) only with what they mean there."""
import json
import pathlib
import re
import sys

import statuses

api = json.loads(pathlib.Path(sys.argv[1]).read_text())
headers = {path.name: path.read_text() for path in sorted(pathlib.Path(sys.argv[2], "gyr").glob("*.h"))}
TAGS = ["return", "ownership", "threadsafe", "blocking", "since"]
THREADS = re.compile(r"(any|per-handle|exclusive)\b")
BLOCKING = re.compile(r"(no\b|[a-z].*)")
SINCE = re.compile(r"\d+\.\d+")
STATUSES = statuses.names(api)
# Verbatim from the Arrow specification, which documents them.
FOREIGN = {"ArrowSchema", "ArrowArray", "ArrowArrayStream"}
problems = []


def comment_of(function):
    """The doc comment right before the declaration, as written."""
    for name, text in headers.items():
        found = re.search(r"/\*\*((?:(?!\*/).)*)\*/\s*GYR_API [^;(]*\b" + function + r"\(", text, re.S)
        if found:
            return name, found[1]
    return None, ""


def check_function(function):
    header, comment = comment_of(function["name"])
    if not comment:
        problems.append(f"{function['name']}: no doc comment directly before the declaration")
        return
    say = lambda what: problems.append(f"{header}: {function['name']}: {what}")  # noqa: E731
    tags = re.findall(r"@(\w+)(?: +(\S+))?", comment)
    params = [param["name"] for param in function["params"]]
    wanted = [("param", name) for name in params] + [(tag, None) for tag in TAGS]
    written = [(tag, word if tag == "param" else None) for tag, word in tags]
    if written != wanted:
        say(f"tags are {' '.join(filter(None, sum(written, ())))}; expected {' '.join(filter(None, sum(wanted, ())))}")
    doc = function["doc"]
    if len(doc.get("brief", "")) < 10:
        say("no sentence says what it does")
    for name in params:
        if not doc.get("params", {}).get(name):
            say(f"@param {name} says nothing")
    check_return(function, doc.get("return", ""), say)
    for tag, rule in (("threadsafe", THREADS), ("blocking", BLOCKING), ("since", SINCE)):
        if not rule.match(doc.get(tag, "")):
            say(f"@{tag} is \"{doc.get(tag, '')}\"")
    if not doc.get("ownership"):
        say("@ownership says nothing")


def check_return(function, text, say):
    if function["return"]["c"] == "void":
        if text != "nothing":
            say("@return of a void function is \"nothing\"")
    elif function["return"]["c"] != "gyr_status":
        if not text:
            say("@return says nothing")
    elif not text.startswith(("GYR_OK", "as gyr_")):
        say("@return begins with GYR_OK or \"as gyr_...\"")
    else:
        check_statuses(text, say)


def check_statuses(text, say):
    for word in statuses.words(text):
        if word != "GYR_OK" and word not in STATUSES:
            say(f"@return names {word}, which is no status")
    for name in STATUSES:
        if len(re.findall(rf"\b{name}\b", statuses.outside_parentheses(text))) > 1:
            say(f"@return names {name} twice")
    # INVALID_ARGUMENT alone says that more than NULL and sizes can be wrong: texts, names, numbers.
    for name in set(statuses.UNIVERSAL) - {"INVALID_ARGUMENT"}:
        if re.search(rf"\b{name}\b(?! \()", text):
            say(f"@return names {name}, which any function may answer: say in parentheses what else it means, or drop it")


def check_universal():
    """The two places that state the universal statuses have exactly those."""
    listed = re.findall(r"^ \*      ([A-Z_]+)  ", headers["base.h"], re.M)
    if sorted(listed) != sorted(statuses.UNIVERSAL):
        problems.append(f"base.h: any function may answer {listed}; statuses.py has {list(statuses.UNIVERSAL)}")
    text = pathlib.Path(sys.argv[2], "../docs/conventions.md").read_text()
    bullet = re.search(r"^- A function answers .*?(?=^- )", text, re.M | re.S)
    named = set(re.findall(r"\b[A-Z_]{5,}\b", bullet[0] if bullet else "")) - {"GYR_OK"}
    if named != set(statuses.UNIVERSAL):
        problems.append(f"conventions.md: {sorted(named)} for any function; statuses.py has {sorted(statuses.UNIVERSAL)}")


check_universal()
for function in api["functions"]:
    check_function(function)
for struct in api["structs"]:
    if struct["name"] in FOREIGN:
        continue
    if not struct["doc"].get("brief"):
        problems.append(f"struct {struct['name']}: no doc comment")
    for field in struct["fields"]:
        if not field["doc"].get("brief") and field["name"] not in ("struct_size", "reserved"):
            problems.append(f"{struct['name']}.{field['name']}: no doc comment")
for handle in api["handles"]:
    if not handle["doc"]:
        problems.append(f"handle {handle['name']}: no doc comment")
for enum in api["enums"]:
    if enum["type"] and not enum["doc"]:
        problems.append(f"{enum['type']}: no doc comment before the typedef")
    for value in enum["values"]:
        if not value["doc"] and not enum["doc"]:
            problems.append(f"{value['name']}: neither it nor its enum has a doc comment")
print("\n".join(problems))
print(f"{len(api['functions'])} functions, {len(api['structs'])} structs: {len(problems)} gaps")
sys.exit(1 if problems else 0)
