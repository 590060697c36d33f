"""Fit, train and bundle: what an ML engineer's script looks like."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

import gyr

from . import specs
from .movielens import Features, MovieLens

FIRST_EVENT = 5000  # earlier events have no windows to speak of
NEGATIVES = 4


@dataclass
class Trained:
    """Fitted parts, and what it took."""

    workflow: gyr.Workflow
    retrieval: gyr.Model
    ranking: gyr.Model
    retrieval_history: list[dict]
    ranking_history: list[dict]
    seconds: dict[str, float] = field(default_factory=dict)


Watch = Callable[[str, "gyr.Task"], None]


def train(data: MovieLens, features: Features, end: int, seed: int = 1, watch: Watch | None = None) -> Trained:
    """Trains on the events before index `end`. `watch(phase, task)` is called before each long step."""
    seconds: dict[str, float] = {}

    def timed(name: str, body: Callable[[gyr.Task], object]):
        task = gyr.Task()
        if watch:
            watch(name, task)
        start = time.perf_counter()
        result = body(task)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
        return result

    at = np.flatnonzero(data.positive[:end])
    at = at[at >= FIRST_EVENT]
    lagged = features.lagged(at)
    weight = np.exp(-(end - at) / specs.SAMPLING_DECAY).astype(np.float32)
    positives = timed("features", lambda task: features.rows(data.user[at], data.item[at], at, lagged))

    workflow = gyr.Workflow(specs.WORKFLOW)
    timed("workflow", lambda task: workflow.fit(positives, task=task))
    encoded = timed("workflow", lambda task: _with_weight(workflow.transform(positives), weight))

    tower = gyr.Trainer(specs.retrieval(seed), workflow.schema)
    timed("train retrieval", lambda task: tower.fit(encoded, task=task))
    retrieval = tower.export()

    rows = timed("features", lambda task: _ranking_rows(data, features, at, lagged, weight, seed))
    rows_encoded = timed("workflow", lambda task: _carry(workflow.transform(rows), rows, ("label", "weight")))
    scores = retrieval.predict(rows_encoded)
    rows_encoded = rows_encoded.append_column("retrieval_score", pa.array(scores))
    ranker = gyr.Trainer(specs.ranking(seed), workflow.schema)
    timed("train ranking", lambda task: ranker.fit(rows_encoded, task=task))
    return Trained(workflow, retrieval, ranker.export(), tower.history, ranker.history, seconds)


def _with_weight(table: pa.Table, weight: np.ndarray) -> pa.Table:
    return table.append_column("weight", pa.array(weight))


def _carry(table: pa.Table, source: pa.Table, names: tuple[str, ...]) -> pa.Table:
    for name in names:
        table = table.append_column(name, source[name])
    return table


def _ranking_rows(data: MovieLens, features: Features, at: np.ndarray, lagged: np.ndarray, weight: np.ndarray,
                  seed: int) -> pa.Table:
    """Each positive and NEGATIVES uniform items beside it, as of the same moment."""
    rng = np.random.default_rng(seed)
    catalogue = data.items["item_id"].to_numpy()
    negatives = rng.choice(catalogue, (len(at), NEGATIVES))
    items = np.concatenate([data.item[at][:, None], negatives], axis=1)
    label = np.zeros(items.shape, np.float32)
    label[:, 0] = 1
    weights = np.repeat(weight[:, None], NEGATIVES + 1, axis=1)
    weights[:, 1:][negatives == items[:, :1]] = 0  # a negative that is the positive says nothing
    repeat = NEGATIVES + 1
    rows = features.rows(np.repeat(data.user[at], repeat), items.ravel(), np.repeat(at, repeat),
                         np.repeat(lagged, repeat))
    rows = rows.append_column("label", pa.array(label.ravel()))
    return rows.append_column("weight", pa.array(weights.ravel()))


def tables(features: Features, serving_at: int, counts_at: int) -> tuple[gyr.Table, gyr.Table]:
    """Users as of event `serving_at`; items with their counts as of event `counts_at`."""
    users = gyr.Table(specs.USER_TABLE)
    users.upsert(features.user_table(serving_at))
    items = gyr.Table(specs.ITEM_TABLE)
    items.upsert(features.item_table(counts_at))
    return users, items


def build_bundle(trained: Trained, data: MovieLens, features: Features, serving_at: int, counts_at: int, path: str,
                 metadata: dict | None = None) -> None:
    users, items = tables(features, serving_at, counts_at)
    catalogue = features.item_table(counts_at)
    vectors = trained.retrieval.encode("item", trained.workflow.transform(catalogue))
    index = gyr.Index(dim=vectors.shape[1], metric="ip")
    index.upsert(data.items["item_id"].to_numpy(), vectors)
    builder = gyr.BundleBuilder()
    builder.add("features", trained.workflow)
    builder.add("retrieval", trained.retrieval)
    builder.add("ranking", trained.ranking)
    builder.add("users", users)
    builder.add("items", items)
    builder.add("items_index", index)
    builder.set_pipeline(specs.PIPELINE)
    if metadata:
        builder.set_metadata(metadata)
    builder.save(path)
