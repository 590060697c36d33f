"""Evaluation metrics; formulas in docs/metrics.md."""
from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ._lib import address, call, lib, raw, struct
from ._values import numbers, ragged
from .runtime import as_dict


def _lists(recommended: Any, k: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(ids [n, k], counts [n]) of an array or of lists of different lengths."""
    if isinstance(recommended, np.ndarray) and recommended.ndim == 2:
        ids = numbers(recommended if k is None else recommended[:, :k], np.int64)
        return ids, np.full(len(ids), ids.shape[1], np.uint32)
    rows = [numbers(row, np.int64)[:k] for row in recommended]
    width = k or max((len(row) for row in rows), default=0)
    ids, counts = np.zeros((len(rows), width), np.int64), np.zeros(len(rows), np.uint32)
    for position, row in enumerate(rows):
        ids[position, :len(row)], counts[position] = row, len(row)
    return ids, counts


def ranking(recommended: Any, relevant: Any, k: int | None = None, counts: Any = None) -> dict[str, Any]:
    """recall, recall_capped, precision, ndcg, mrr, map and hit_rate at k, and per_list_ndcg, per_list_recall.

    recommended: [n, k] ids or lists of ids, best first. relevant: lists of ids or (values, offsets) arrays.
    counts: valid entries per list. An array narrower than k counts as lists of its width, measured at k."""
    ids, lengths = _lists(recommended, k)
    if counts is not None:
        lengths = np.minimum(numbers(counts, np.uint32), lengths)
    if k is not None and ids.shape[1] < k:
        ids = np.ascontiguousarray(np.pad(ids, ((0, 0), (0, k - ids.shape[1]))))
    values, offsets = ragged(relevant)
    n = len(ids)
    if len(offsets) != n + 1 or len(lengths) != n:
        raise ValueError(f"expected {n} relevant lists and counts, got {len(offsets) - 1} and {len(lengths)}")
    args = struct(raw.gyr_ranking_args, k=ids.shape[1], n=n, recommended=address(ids), counts=address(lengths),
                  relevant=address(values), relevant_offsets=address(offsets))
    out, ndcg, recall = struct(raw.gyr_ranking_metrics), np.zeros(n), np.zeros(n)
    call(lib.gyr_metrics_ranking, ctypes.byref(args), ctypes.byref(out), address(ndcg), address(recall))
    return {**as_dict(out), "per_list_ndcg": ndcg, "per_list_recall": recall}


def binary(scores: Any, labels: Any) -> dict[str, float]:
    """auc (NaN when one class is absent) and logloss."""
    values, truth = numbers(scores, np.float32), np.ascontiguousarray(labels)
    if truth.size and not np.isin(truth, (0, 1)).all():
        raise ValueError("labels: expected 0 or 1")
    truth = truth.astype(np.uint8)
    if values.shape != truth.shape or values.ndim != 1:
        raise ValueError(f"scores and labels: expected equal one-dimensional shapes, got {values.shape}, {truth.shape}")
    auc, logloss = ctypes.c_double(), ctypes.c_double()
    call(lib.gyr_metrics_binary, address(values), address(truth), len(values), ctypes.byref(auc),
         ctypes.byref(logloss))
    return {"auc": auc.value, "logloss": logloss.value}


def bootstrap(values: Any, resamples: int = 1000, confidence: float = 0.95, seed: int = 1) -> tuple[float, float]:
    """Percentile interval (low, high) of the mean."""
    data, low, high = numbers(values, np.float64), ctypes.c_double(), ctypes.c_double()
    call(lib.gyr_metrics_bootstrap, address(data), data.size, resamples, confidence, seed, ctypes.byref(low),
         ctypes.byref(high))
    return low.value, high.value
