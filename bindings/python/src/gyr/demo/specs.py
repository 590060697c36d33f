"""The demo's four specs: workflow, retrieval model, ranking model, serving graph. They were chosen on rolling
validation folds inside the training events; the test events had no say."""

from __future__ import annotations

from .movielens import WINDOWS

COUNTS = [f"count_{w}" for w in WINDOWS]
SAMPLING_DECAY = 20000  # events: training rows are drawn with weight exp(-age / SAMPLING_DECAY)
CANDIDATES = 200
TOP_K = 10

WORKFLOW = {
    "version": 1,
    "inputs": [
        {"name": "age", "dtype": "float32", "tags": ["user"]},
        {"name": "gender", "dtype": "string", "tags": ["user"]},
        {"name": "occupation", "dtype": "string", "tags": ["user"]},
        {"name": "history", "dtype": "int64", "list": True, "tags": ["user"]},
        {"name": "history_count", "dtype": "float32", "tags": ["user"]},
        {"name": "item_id", "dtype": "int64", "tags": ["item_id"]},
        {"name": "year", "dtype": "float32", "tags": ["item"]},
        {"name": "genres", "dtype": "string", "list": True, "tags": ["item"]},
        *({"name": c, "dtype": "float32", "tags": ["item"]} for c in COUNTS),
    ],
    "ops": [
        {"op": "Bucketize", "columns": ["age"], "boundaries": list(range(5, 71, 5))},
        {"op": "Categorify", "columns": ["gender", "occupation"]},
        {"op": "Categorify", "columns": ["item_id", "history"], "joint": True},
        {"op": "Categorify", "columns": ["genres"]},
        {"op": "FillMissing", "columns": ["year"], "value": 1995},
        {"op": "Bucketize", "columns": ["year"], "boundaries": [*range(1935, 1996, 5), 1996, 1997, 1998]},
        {"op": "FillMissing", "columns": ["history_count", *COUNTS], "value": 0},
        {"op": "LogOp", "columns": ["history_count", *COUNTS]},
        {"op": "NormalizeMinMax", "columns": ["history_count", *COUNTS]},
    ],
}

USER_FEATURES = ["history", "age", "gender", "occupation", "history_count"]
ITEM_FEATURES = ["item_id", "genres", "year"]


def retrieval(seed: int) -> dict:
    return {
        "version": 1, "kind": "two_tower", "item": "item_id",
        "user_features": USER_FEATURES, "item_features": ITEM_FEATURES,
        "dim": 32, "embedding_dim": 32, "hidden": [64], "temperature": 1.0, "logq": 1.0,
        "optimizer": "adam", "learning_rate": 0.002, "init_stddev": 0.05, "batch": 512, "epochs": 4,
        "sampling": {"column": "weight"}, "seed": seed,
    }


def ranking(seed: int) -> dict:
    return {
        "version": 1, "kind": "dlrm", "label": "label",
        "user_features": USER_FEATURES, "item_features": [*ITEM_FEATURES, *COUNTS],
        "context_features": ["retrieval_score"],
        "dim": 8, "bottom": [32, 8], "top": [64, 32],
        "optimizer": "adagrad", "learning_rate": 0.05, "init_stddev": 0.05, "batch": 2560, "epochs": 2,
        "sampling": {"column": "weight"}, "seed": seed,
    }


PIPELINE = {
    "version": 1,
    "stages": [
        {"stage": "features", "side": "user", "table": "users"},
        {"stage": "encode", "workflow": "features", "model": "retrieval"},
        {"stage": "retrieve", "index": "items_index", "k": CANDIDATES},
        {"stage": "filter", "seen": "seen"},
        {"stage": "features", "side": "item", "table": "items", "columns": ["year", "genres", *COUNTS]},
        {"stage": "encode", "side": "item", "workflow": "features"},
        {"stage": "score", "model": "ranking"},
        {"stage": "order", "k": TOP_K, "by": "score", "method": "greedy"},
    ],
}

USER_TABLE = {
    "name": "users", "key": "user_id", "key_dtype": "int64", "event_time": "updated", "ttl_seconds": 0,
    "columns": [
        {"name": "age", "dtype": "float32"}, {"name": "gender", "dtype": "string"},
        {"name": "occupation", "dtype": "string"}, {"name": "history", "dtype": "int64", "list": True},
        {"name": "history_count", "dtype": "float32"}, {"name": "seen", "dtype": "int64", "list": True},
    ],
}

ITEM_TABLE = {
    "name": "items", "key": "item_id", "key_dtype": "int64", "event_time": "updated", "ttl_seconds": 0,
    "columns": [
        {"name": "title", "dtype": "string"}, {"name": "year", "dtype": "float32"},
        {"name": "genres", "dtype": "string", "list": True},
        *({"name": c, "dtype": "float32"} for c in COUNTS),
    ],
}
