"""The command line, as a user calls it."""
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

WORKFLOW = {"version": 1,
            "inputs": [{"name": "user", "dtype": "int64", "tags": ["user_id"]},
                       {"name": "item", "dtype": "int64", "tags": ["item_id"]}],
            "ops": [{"op": "Categorify", "columns": ["user"]}, {"op": "Categorify", "columns": ["item"]}]}
TOWERS = {"version": 1, "kind": "two_tower", "item": "item", "dim": 8, "hidden": [8], "epochs": 1, "batch": 64}
PIPELINE = {"version": 1, "stages": [
    {"stage": "features", "table": "users"}, {"stage": "encode", "workflow": "w", "model": "towers"},
    {"stage": "retrieve", "index": "items_index", "k": 20}, {"stage": "order", "k": 5}]}


def gyr_cli(*arguments, code=0):
    done = subprocess.run([sys.executable, "-m", "gyr.cli", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    rng = np.random.default_rng(1)
    user = rng.integers(0, 30, 600)
    item = user % 5 * 10 + rng.integers(0, 10, 600)
    pa.parquet.write_table(pa.table({"user": user, "item": item}), tmp_path / "events.parquet")
    pa.csv.write_csv(pa.table({"item": np.arange(50), "name": [f"film {i}" for i in range(50)]}), tmp_path / "items.csv")
    pa.parquet.write_table(pa.table({"user": np.arange(30), "age": np.full(30, 20)}), tmp_path / "users.parquet")
    spec = {"data": {"events": "events.parquet", "items": "items.csv", "users": "users.parquet"},
            "workflows": {"w": {"spec": WORKFLOW, "fit": "events"}},
            "models": {"towers": {"spec": TOWERS, "workflow": "w", "fit": "events"}},
            "tables": {"users": {"schema": {"name": "users", "key": "user", "key_dtype": "int64",
                                            "columns": [{"name": "age", "dtype": "int64"}]}, "rows": "users"},
                       "items": {"schema": {"name": "items", "key": "item", "key_dtype": "int64",
                                            "columns": [{"name": "name", "dtype": "string"}]}, "rows": "items"}},
            "indexes": {"items_index": {"model": "towers", "rows": "items", "id": "item"}},
            "pipeline": PIPELINE, "output": "shop.gyr"}

    def write(**changes):
        path = tmp_path / "project.json"
        path.write_text(json.dumps({**spec, **changes}))
        return path
    return write


def test_doctor():
    assert "check search: ok" in gyr_cli("doctor")


def test_train_inspect_recommend(project):
    path = project()
    gyr_cli("train", path)
    bundle = path.parent / "shop.gyr"
    assert "items_index" in gyr_cli("inspect", bundle)
    out = gyr_cli("recommend", bundle, "-u", 3, "-u", 999, "--title", "items:name", "--json")
    known, unknown = (json.loads(line) for line in out.splitlines())
    assert known["status"] == "known" and unknown["status"] == "unknown"
    assert len(known["items"]) == 5 and known["items"][0]["title"].startswith("film ")
    gyr_cli("recommend", bundle, "-u", 3, "--trace")


@pytest.mark.parametrize("change, message", [
    ({"extra": 1}, "unknown key 'extra'"),
    ({"workflows": []}, "workflows: expected an object"),
    ({"data": {"events": "nothing.parquet"}}, "data.events"),
    ({"models": {"towers": {"spec": TOWERS, "workflow": "v", "fit": "events"}}}, "models.towers.workflow"),
    ({"models": {"towers": {"spec": TOWERS, "workflow": "w", "fit": "events", "keep": ["label"]}}}, "no column 'label'"),
    ({"indexes": {"items_index": {"model": "towers", "rows": "items", "id": "nr"}}}, "no column 'nr'"),
])
def test_project_mistakes_are_named(project, change, message):
    assert message in gyr_cli("train", project(**change), code=1)


def test_files_that_are_no_bundles(tmp_path):
    (tmp_path / "x.gyr").write_bytes(b"not a bundle" * 20)
    assert "GYR_E_CORRUPT" in gyr_cli("inspect", tmp_path / "x.gyr", code=1)
    assert "GYR_E_NOT_FOUND" in gyr_cli("inspect", tmp_path / "y.gyr", code=1)
