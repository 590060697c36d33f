"""The generated layer says what the C compiler says."""
import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gyr import _raw as raw
from gyr._lib import lib

INCLUDE = Path(__file__).resolve().parents[3] / "include"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """{"gyr_keys": "40", "gyr_keys.count": "8 8", "GYR_OK": "0", ...} printed by a C program."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is needed"
    lines = []
    for struct in raw.STRUCTS:
        name = struct.__name__
        c_name = f"struct {name}"
        lines.append(f'printf("{name}=%zu\\n", sizeof({c_name}));')
        for field, *_ in struct._fields_:
            lines.append(f'printf("{name}.{field}=%zu %zu\\n", offsetof({c_name}, {field}), '
                         f"sizeof((({c_name}*)0)->{field}));")
    for name in vars(raw):
        if name.startswith("GYR_"):
            lines.append(f'printf("{name}=%lld\\n", (long long){name});')
    folder = tmp_path_factory.mktemp("layout")
    source = folder / "layout.c"
    source.write_text("#include <gyr/gyr.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\n}\n")
    subprocess.run([compiler, "-std=c11", f"-I{INCLUDE}", source, "-o", folder / "layout"], check=True)
    text = subprocess.run([folder / "layout"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=") for line in text.splitlines())


@pytest.mark.parametrize("struct", raw.STRUCTS, ids=lambda struct: struct.__name__)
def test_struct(struct, compiled):
    name = struct.__name__
    assert ctypes.sizeof(struct) == int(compiled[name])
    for field, *_ in struct._fields_:
        descriptor = getattr(struct, field)
        assert f"{descriptor.offset} {descriptor.size}" == compiled[f"{name}.{field}"], field


def test_every_struct_of_the_headers_is_there():
    text = "".join(path.read_text() for path in INCLUDE.glob("gyr/*.h"))
    declared = set(re.findall(r"^(?:typedef )?struct (\w+) \{", text, re.M))
    assert declared == {struct.__name__ for struct in raw.STRUCTS}


def test_constants(compiled):
    names = [name for name in vars(raw) if name.startswith("GYR_")]
    assert len(names) > 70
    assert {name: str(getattr(raw, name)) for name in names} == {name: compiled[name] for name in names}


def test_the_library_knows_every_struct():
    for struct in raw.STRUCTS:
        if struct.__name__.startswith("gyr_"):
            assert lib.gyr_struct_size(struct.__name__.encode()) == ctypes.sizeof(struct)
    assert lib.gyr_struct_size(b"gyr_unknown") == 0


def test_status_names_match_the_constants():
    for name, value in vars(raw).items():
        if name == "GYR_OK" or name.startswith("GYR_E_"):
            assert lib.gyr_status_name(value).decode() == name
    assert lib.gyr_status_name(999) == b"GYR_E_UNKNOWN"
