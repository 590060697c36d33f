"""`gyr train`: a project file to a bundle. The file is described in docs/python.md."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

import gyr

READERS = {".parquet": pa.parquet.read_table, ".csv": pa.csv.read_csv, ".arrow": pa.feather.read_table,
           ".feather": pa.feather.read_table}
KEYS = {"data", "workflows", "models", "tables", "indexes", "ids", "pipeline", "metadata", "output"}
ENTRIES = {"workflows": {"spec", "fit"}, "models": {"spec", "workflow", "fit", "keep", "scores"},
           "tables": {"schema", "rows"}, "indexes": {"model", "rows", "id", "metric"}, "ids": {"rows", "column"}}


class ProjectError(gyr.Error):
    """A mistake in the project file; the message names the path in it."""

    def __init__(self, message: str):
        super().__init__("GYR_E_INVALID_ARGUMENT", 1, "project", message)


class Project:
    def __init__(self, path: pathlib.Path):
        self.folder = path.parent
        try:
            self.spec = json.loads(path.read_text())
        except json.JSONDecodeError as e:
            raise ProjectError(f"{path}: not valid JSON: {e}") from None
        unknown = set(self.spec) - KEYS
        if unknown:
            raise ProjectError(f"{path}: unknown key {sorted(unknown)[0]!r}; there are {', '.join(sorted(KEYS))}")
        for key in ("data", "pipeline"):
            if key not in self.spec:
                raise ProjectError(f"{path}: {key} is required")
        for section, allowed in ENTRIES.items():
            _check_object(self.section(section), section)
            for name, entry in self.section(section).items():
                _check_object(entry, f"{section}.{name}", allowed)
        _check_object(self.spec["data"], "data")
        self._tables: dict[str, pa.Table] = {}

    def data(self, name: str, where: str) -> pa.Table:
        if name not in self._tables:
            if name not in self.spec["data"]:
                raise ProjectError(f"{where}: no data named {name!r} (there are: {', '.join(self.spec['data'])})")
            path = self.folder / self.spec["data"][name]
            if path.suffix not in READERS:
                raise ProjectError(f"data.{name}: {path.suffix or 'no suffix'} is not read; use {', '.join(READERS)}")
            try:
                self._tables[name] = READERS[path.suffix](path)
            except (OSError, pa.ArrowInvalid) as e:
                raise ProjectError(f"data.{name}: {path}: {e}") from None
        return self._tables[name]

    def section(self, name: str) -> dict:
        return self.spec.get(name, {})


def _check_object(value, where: str, allowed: set[str] | None = None) -> None:
    if not isinstance(value, dict):
        raise ProjectError(f"{where}: expected an object, got {type(value).__name__}")
    unknown = set(value) - (allowed if allowed is not None else set(value))
    if unknown:
        raise ProjectError(f"{where}: unknown key {sorted(unknown)[0]!r}; there are {', '.join(sorted(allowed))}")


def _column(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ProjectError(f"{where}: the data has no column {name!r} (it has: {', '.join(table.column_names)})")
    return table[name]


def _need(entry: dict, key: str, where: str):
    if key not in entry:
        raise ProjectError(f"{where}.{key}: is required")
    return entry[key]


def _named(parts: dict, name: str, where: str):
    if name not in parts:
        raise ProjectError(f"{where}: nothing named {name!r} comes before it (there are: {', '.join(parts) or 'none'})")
    return parts[name]


def build(path: pathlib.Path, output: pathlib.Path | None, watch=None) -> pathlib.Path:
    """Does all of the above; returns the bundle's path."""
    project = Project(path)
    builder = gyr.BundleBuilder()
    workflows: dict[str, gyr.Workflow] = {}
    models: dict[str, tuple[gyr.Model, gyr.Workflow]] = {}

    def task(name: str) -> gyr.Task:
        t = gyr.Task()
        if watch:
            watch(name, t)
        return t

    for name, entry in project.section("workflows").items():
        where = f"workflows.{name}"
        workflow = gyr.Workflow(_need(entry, "spec", where))
        workflow.fit(project.data(_need(entry, "fit", where), where + ".fit"), task=task(f"fit {name}"))
        workflows[name] = workflow
        builder.add(name, workflow)
    for name, entry in project.section("models").items():
        where = f"models.{name}"
        workflow = _named(workflows, _need(entry, "workflow", where), where + ".workflow")
        raw = project.data(_need(entry, "fit", where), where + ".fit")
        rows = workflow.transform(raw)
        for column in entry.get("keep", []):
            rows = rows.append_column(column, _column(raw, column, where + ".keep"))
        for column, scorer in entry.get("scores", {}).items():
            model, _ = _named(models, scorer, f"{where}.scores.{column}")
            rows = rows.append_column(column, pa.array(model.predict(rows)))
        trainer = gyr.Trainer(_need(entry, "spec", where), workflow.schema)
        trainer.fit(rows, task=task(f"train {name}"))
        models[name] = (trainer.export(), workflow)
        builder.add(name, models[name][0])
    for name, entry in project.section("tables").items():
        where = f"tables.{name}"
        table = gyr.Table(_need(entry, "schema", where))
        if "rows" in entry:
            table.upsert(project.data(entry["rows"], where + ".rows"))
        builder.add(name, table)
    for name, entry in project.section("indexes").items():
        where = f"indexes.{name}"
        model, workflow = _named(models, _need(entry, "model", where), where + ".model")
        raw = project.data(_need(entry, "rows", where), where + ".rows")
        vectors = model.encode("item", workflow.transform(raw))
        index = gyr.Index(dim=vectors.shape[1], metric=entry.get("metric", "ip"))
        ids = _column(raw, entry["id"], where + ".id").to_numpy() if "id" in entry else np.arange(len(vectors))
        index.upsert(ids, vectors)
        builder.add(name, index)
    for name, entry in project.section("ids").items():
        where = f"ids.{name}"
        raw = project.data(_need(entry, "rows", where), where + ".rows")
        builder.add_ids(name, _column(raw, _need(entry, "column", where), where + ".column").to_pylist())
    builder.set_pipeline(project.spec["pipeline"])
    if "metadata" in project.spec:
        builder.set_metadata(project.spec["metadata"])
    if output is None:
        output = project.folder / _need(project.spec, "output", "project")
    builder.save(str(output))
    return output
