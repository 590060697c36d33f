"""The feature table through the C interface, status bytes on: 1 million entities of 20 eight-byte features."""

from __future__ import annotations

from bench.areas._native import run

TARGETS = {("get_100x20", "redis_hmget"): 100, ("get_1x20", "redis_hmget"): 8,
           ("read_p50_under_1M_writes", "idle"): 1 / 1.05, ("read_p99_under_1M_writes", "idle"): 1 / 1.20,
           ("upsert_nolog_rows_per_s", "absolute"): 1e6, ("upsert_async_rows_per_s", "absolute"): 3e5,
           ("pit_export_labels_per_s", "absolute"): 1e7}


def figures(say) -> list[dict]:
    return run(say, "compare_table", TARGETS)
