"""One file with everything; served, swapped and rolled back as one."""
from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import _values
from ._lib import Handle, address, call, lib, make, path_bytes, raw, struct, text
from ._values import Keys, Time, microseconds
from .index import Index
from .model import Model
from .runtime import Runtime, Task, runtime_handle, task_handle
from .table import Table
from .workflow import Workflow, spec_bytes

_ADD = {Workflow: "gyr_bundle_builder_add_workflow", Table: "gyr_bundle_builder_add_table",
        Index: "gyr_bundle_builder_add_index", Model: "gyr_bundle_builder_add_model"}


class BundleBuilder(Handle):
    """Collects components and writes the file."""

    _destroy = "gyr_bundle_builder_destroy"

    def __init__(self, runtime: Runtime | None = None):
        self._own(make(lib.gyr_bundle_builder_create, runtime_handle(runtime)))

    def add(self, name: str, component: Workflow | Table | Index | Model) -> BundleBuilder:
        function = _ADD.get(type(component))
        if function is None:
            raise TypeError(f"{type(component).__name__} cannot be in a bundle: expected Workflow, Table, Index or Model")
        call(getattr(lib, function), self._handle, name.encode(), component._handle)
        return self

    def add_ids(self, name: str, ids: Any) -> BundleBuilder:
        """String ids of the items: index label i stands for ids[i]."""
        array, _heap = _values.strings(ids)
        call(lib.gyr_bundle_builder_add_ids, self._handle, name.encode(), array, len(ids))
        return self

    def set_pipeline(self, graph: dict[str, Any] | str) -> BundleBuilder:
        call(lib.gyr_bundle_builder_set_pipeline, self._handle, spec_bytes(graph))
        return self

    def set_metadata(self, metadata: dict[str, Any] | str) -> BundleBuilder:
        call(lib.gyr_bundle_builder_set_metadata, self._handle, spec_bytes(metadata))
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        call(lib.gyr_bundle_builder_save, self._handle, path_bytes(path))


class StageTrace(NamedTuple):
    name: str
    time_ns: int
    rows_in: int
    rows_out: int


@dataclass
class Recommendations:
    """Answer for a batch of users. Beyond counts[u], ids are -1 (or "") and scores NaN."""

    ids: np.ndarray           # [users, k] int64, or str objects for string catalogues
    scores: np.ndarray        # [users, k] final score
    stage_scores: np.ndarray  # [users, k, 2] retrieval score, ranking score
    counts: np.ndarray        # [users]
    user_status: np.ndarray   # [users] PRESENT, MISSING or EXPIRED in the user table
    trace: list[StageTrace]
    generation: int

    def items(self, user: int = 0) -> list[tuple[Any, float]]:
        """(id, score) pairs of one user of the batch."""
        count = self.counts[user]
        return list(zip(self.ids[user, :count].tolist(), self.scores[user, :count].tolist()))


class _Workspace(Handle):
    _destroy = "gyr_workspace_destroy"


class _Plan(NamedTuple):
    """What a call must know about the serving pipeline."""

    k: int
    stages: int
    string_ids: bool
    context: dict[str, str]


class Bundle(Handle):
    """A live bundle: recommend() from any number of threads, concurrent with publish, rollback and upserts."""

    _destroy = "gyr_bundle_destroy"

    def __init__(self) -> None:
        raise TypeError("use Bundle.open(path)")

    @classmethod
    def open(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Bundle:
        self = cls._adopt(make(lib.gyr_bundle_open, runtime_handle(runtime), path_bytes(path)))
        self._plan, self._workspaces = None, []
        return self

    def _pipeline(self) -> _Plan:
        plan = self._plan
        if plan is None:
            graph = self.describe()["pipeline"]
            graph = json.loads(graph) if isinstance(graph, str) else graph
            stages = graph["stages"]
            plan = self._plan = _Plan(
                k=next((stage["k"] for stage in reversed(stages) if stage["stage"] == "order"), 0), stages=len(stages),
                string_ids=any(stage["stage"] == "retrieve" and "ids" in stage for stage in stages),
                context={column["name"]: column.get("dtype") for column in graph.get("context", [])})
        return plan

    def _fill_context(self, args: raw.gyr_recommend_args, context: dict[str, Any], users: int, known: dict[str, str],
                      keep: list[Any]) -> None:
        names = (ctypes.c_char_p * len(context))(*[name.encode() for name in context])
        values = (raw.gyr_value * max(1, users * len(context)))()
        for column, (name, given) in enumerate(context.items()):
            per_user = given if isinstance(given, (list, tuple, np.ndarray)) else [given] * users
            if len(per_user) != users:
                raise ValueError(f"context {name!r}: expected one value or {users}, got {len(per_user)}")
            for user in range(users):
                _values.fill_value(values[user * len(context) + column], per_user[user], keep, known.get(name))
        args.context_names, args.context, args.n_context = ctypes.addressof(names), values, len(context)
        keep += [names, values]

    def recommend(self, users: Any, k: int = 0, context: dict[str, Any] | None = None, now: Time | None = None,
                  seed: int = 0, trace: bool = True, task: Task | None = None) -> Recommendations:
        """users: one id or a batch. k: 0 = the order stage's, which is also the most allowed.
        context: request features by name, one value for all users or a list with one per user."""
        keys, plan, keep = Keys(users), self._pipeline(), []
        n, k = keys.count, k or plan.k
        ids, scores = np.full((n, k), -1, np.int64), np.full((n, k), np.nan, np.float32)
        stage_scores = np.full((n, k, 2), np.nan, np.float32)
        counts, status = np.zeros(n, np.uint32), np.zeros(n, np.uint8)
        stages = (raw.gyr_stage_trace * max(1, plan.stages))()
        stages[0].struct_size = ctypes.sizeof(raw.gyr_stage_trace)
        args = struct(raw.gyr_recommend_args, k=k, users=ctypes.pointer(keys.argument), seed=seed,
                      now_us=0 if now is None else microseconds(now), out_ids=address(ids), out_scores=address(scores),
                      out_stage_scores=address(stage_scores), out_counts=address(counts),
                      out_user_status=address(status))
        if trace:
            args.trace, args.trace_capacity = stages, len(stages)
        if context:
            self._fill_context(args, context, n, plan.context, keep)
        text_ids = (raw.gyr_str * max(1, n * k))() if plan.string_ids else None
        if text_ids is not None:
            args.out_string_ids = text_ids
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = _Workspace._adopt(make(lib.gyr_workspace_create, self._handle))
        args.workspace = workspace._handle
        try:
            call(lib.gyr_bundle_recommend, self._handle, ctypes.byref(args), task_handle(task))
            beyond = np.arange(k) >= counts[:, None]
            scores[beyond], ids[beyond] = np.nan, -1
            if text_ids is not None:  # the strings live until the workspace's next call
                ids = np.array(["" if b else _values.string(s) for s, b in zip(text_ids, beyond.ravel())],
                               object).reshape(n, k)
        finally:
            self._workspaces.append(workspace)
        seen = [StageTrace(stage.name.decode(), stage.time_ns, stage.rows_in, stage.rows_out)
                for stage in stages[:min(args.trace_count, len(stages))]] if trace and n else []
        return Recommendations(ids, scores, stage_scores, counts, status, seen, args.generation)

    def publish(self, path: str | os.PathLike[str], carry_rows: bool = False) -> int:
        """Makes another file the serving generation; returns its number. carry_rows: rows upserted live since the
        last open move along."""
        generation = ctypes.c_uint64()
        flags = raw.GYR_PUBLISH_CARRY_ROWS if carry_rows else 0
        call(lib.gyr_bundle_publish, self._handle, path_bytes(path), flags, ctypes.byref(generation))
        self._plan = None
        return generation.value

    def rollback(self) -> int:
        """Returns to the previous generation; returns the number now serving."""
        generation = ctypes.c_uint64()
        call(lib.gyr_bundle_rollback, self._handle, ctypes.byref(generation))
        self._plan = None
        return generation.value

    def table(self, name: str) -> Table:
        return Table._adopt(make(lib.gyr_bundle_table, self._handle, name.encode()))

    def index(self, name: str) -> Index:
        return Index._adopt(make(lib.gyr_bundle_index, self._handle, name.encode()))

    def model(self, name: str) -> Model:
        return Model._adopt(make(lib.gyr_bundle_model, self._handle, name.encode()))

    def workflow(self, name: str) -> Workflow:
        return Workflow._adopt(make(lib.gyr_bundle_workflow, self._handle, name.encode()))

    def describe(self) -> dict[str, Any]:
        """Generation, components with sizes, pipeline, metadata."""
        return json.loads(text(lib.gyr_bundle_describe, self._handle))

    def metrics(self) -> str:
        """Serving metrics in Prometheus text format."""
        return text(lib.gyr_bundle_metrics, self._handle)
