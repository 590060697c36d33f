"""The embedding cache through the C interface, status bytes on: 64-float rows, 10 million of them, one thread."""

from __future__ import annotations

from bench.areas._native import run

GATHER = "gather_hashed_10M_b1000_uniform"
TARGETS = {(GATHER, "absl"): 3, (GATHER, "nve"): 1.5, (GATHER, "redis_mget"): 30, (GATHER, "rocksdb"): 90,
           (GATHER, "limit"): 0.25, ("gather_dense_10M_b1000", "limit"): 0.60, ("bag80_dense", "limit"): 0.75,
           ("bytes_per_row_256", "payload"): 1 / 1.10, ("cold_rows_b100", "rocksdb_direct"): 4}


def figures(say) -> list[dict]:
    return run(say, "compare_cache", TARGETS)
