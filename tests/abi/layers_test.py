#!/usr/bin/env python3
"""The layer check finds what it must find."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_layers  # noqa: E402


def check(**files):
    """Problems of a tree given as layer__file="include"."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, include in files.items():
            top, _, leaf = name.partition("__")
            path = root / ("kernels" if top == "kernels" else f"src/{top}") / f"{leaf}.cpp"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'#include "{include}"\n')
        return list(check_layers.problems(root))


class LayersTest(unittest.TestCase):
    def test_downward_is_allowed(self):
        self.assertEqual([], check(pipeline__a="index/index.h", capi__b="bundle/bundle.h", table__c="store/store.h",
                                   index__d="kernels/kernels.h", kernels__e="base/error.h", io__f="base/bytes.h"))

    def test_upward_sideways_and_escapes_are_found(self):
        for name, include in (("base__a", "io/file.h"), ("index__a", "model/model.h"), ("table__a", "cache/cache.h"),
                              ("store__a", "table/table.h"), ("kernels__a", "exec/pool.h"), ("io__a", "kernels/kernels.h"),
                              ("data__a", "../io/file.h"), ("pipeline__a", "store/store.h"), ("novel__a", "base/error.h")):
            with self.subTest(name=name, include=include):
                self.assertEqual(1, len(check(**{name: include})))


if __name__ == "__main__":
    unittest.main()
