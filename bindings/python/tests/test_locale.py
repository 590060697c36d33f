"""A process where one half is written 0,5 reads and writes the same files as any other."""
import json
import os
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import json, locale, pathlib, sys
if locale.setlocale(locale.LC_ALL, "de_DE.UTF-8") and locale.localeconv()["decimal_point"] != ",":
    sys.exit(77)
import gyr
from gyr.project import Project
path = pathlib.Path(sys.argv[1])
data = Project(path).data("rows", "test")
runtime = gyr.Runtime(threads=1)
graph = {"version": 1, "inputs": [{"name": "price", "dtype": "float64"}],
         "ops": [{"op": "FillMissing", "columns": ["price"], "value": 0.25}, {"op": "Clip", "columns": ["price"], "max_value": 2.5},
                 {"op": "Filter", "expr": "price > 0.5"}]}
workflow = gyr.Workflow(graph, runtime)
print(json.dumps([data["price"].to_pylist(), workflow.transform(data.select(["price"]))["price"].to_pylist()]))
"""


def test_csv_and_json_with_a_decimal_comma(tmp_path):
    if not shutil.which("localedef") or not os.path.exists("/usr/share/i18n/locales/de_DE"):
        pytest.skip("localedef or its sources (Debian package locales) not found")
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"], check=True)
    (tmp_path / "rows.csv").write_text("id,price\n1,1.5\n2,\n3,7.25\n")
    project = tmp_path / "project.json"
    project.write_text(json.dumps({"data": {"rows": "rows.csv"}, "pipeline": {}}))
    done = subprocess.run([sys.executable, "-c", SCRIPT, project], capture_output=True, text=True,
                          env={**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[1.5, None, 7.25], [1.5, 2.5]]
