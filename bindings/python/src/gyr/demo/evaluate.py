"""Quality of the served pipeline beside its baselines, on the users of a slice of events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import gyr

from . import specs
from .movielens import Features, MovieLens

METRICS = ("recall", "ndcg", "mrr", "hit_rate")
# Counting only the last events is the strongest simple rule on this data; its window is the best of 2000..20000 on
# validation.
RECENT = {"version": 1, "kind": "popularity", "recency": {"window_events": 3000}}
KNN = {"version": 1, "kind": "item_knn", "neighbors": 200, "shrink": 50}  # best of 20..200 x 0..50 on validation


@dataclass
class Slice:
    """Who is asked, and what they went on to like: events [begin, end), as seen at event `begin`."""

    name: str
    users: np.ndarray
    relevant: list[np.ndarray]
    seen: list[np.ndarray]
    warm: np.ndarray  # has an event in train


def make_slice(data: MovieLens, name: str, train_end: int, begin: int, end: int) -> Slice:
    part = np.arange(begin, end)[data.positive[begin:end]]
    warm_users = set(data.user[:train_end].tolist())
    users, relevant, seen = [], [], []
    for u in np.unique(data.user[part]):
        before = np.unique(data.item[:begin][data.user[:begin] == u])
        liked = np.setdiff1d(data.item[part][data.user[part] == u], before)
        if len(liked):
            users.append(int(u))
            relevant.append(liked)
            seen.append(before)
    return Slice(name, np.array(users), relevant, seen, np.array([u in warm_users for u in users]))


class Baselines:
    """Popularity and item-kNN, trained by the same library on the same events."""

    def __init__(self, data: MovieLens, train_end: int):
        liked = np.flatnonzero(data.positive[:train_end])
        graph = {"version": 1,
                 "inputs": [{"name": "user", "dtype": "int64", "tags": ["user_id"]},
                            {"name": "item", "dtype": "int64", "tags": ["item_id"]}],
                 "ops": [{"op": "Categorify", "columns": ["user"]}, {"op": "Categorify", "columns": ["item"]}]}
        raw = pa.table({"user": data.user[liked], "item": data.item[liked]})
        workflow = gyr.Workflow(graph)
        workflow.fit(raw)
        encoded = workflow.transform(raw)
        self.code = dict(zip(data.item[liked].tolist(), encoded["item"].to_pylist()))
        self.item = {c: i for i, c in self.code.items()}
        self.models = {}
        for name, spec in (("popularity", {"version": 1, "kind": "popularity"}), ("item_knn", KNN),
                           ("recent_popularity", RECENT)):
            trainer = gyr.Trainer(spec, workflow.schema)
            trainer.fit(encoded)
            self.models[name] = trainer.export()

    def recommend(self, name: str, data: MovieLens, s: Slice, begin: int, k: int) -> list[list[int]]:
        histories = []
        for u in s.users:
            mine = (data.user[:begin] == u) & data.positive[:begin]
            histories.append([self.code[i] for i in data.item[:begin][mine].tolist() if i in self.code])
        exclude = [[self.code[i] for i in seen.tolist() if i in self.code] for seen in s.seen]
        items, _ = self.models[name].recommend(histories, k, exclude=exclude)
        return [[self.item[int(c)] for c in row if int(c) in self.item] for row in items]


def quality(recommended: list[list[int]], s: Slice, mask: np.ndarray, k: int) -> dict:
    """Means and 95 % bootstrap intervals over the users in `mask`."""
    which = np.flatnonzero(mask)
    if not len(which):
        return {"users": 0}
    result = gyr.metrics.ranking([recommended[i] for i in which], [s.relevant[i] for i in which], k)
    out: dict = {"users": len(which)}
    for metric in METRICS:
        out[metric] = result[metric]
    for metric, values in (("ndcg", result["per_list_ndcg"]), ("recall", result["per_list_recall"])):
        out[f"{metric}_interval"] = gyr.metrics.bootstrap(values, resamples=1000, confidence=0.95, seed=1)
    return out


def evaluate(bundle: gyr.Bundle, baselines: Baselines, data: MovieLens, s: Slice, begin: int) -> dict:
    """{"warm" | "cold": {"gyr" | "popularity" | "item_knn": quality}}"""
    k = specs.TOP_K
    answers = bundle.recommend(s.users, k=k)
    lists = {"gyr": [answers.ids[u][: answers.counts[u]].tolist() for u in range(len(s.users))]}
    for name in baselines.models:
        lists[name] = baselines.recommend(name, data, s, begin, k)
    return {group: {name: quality(rows, s, mask, k) for name, rows in lists.items()}
            for group, mask in (("warm", s.warm), ("cold", ~s.warm))}
