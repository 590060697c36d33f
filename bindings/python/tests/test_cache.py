"""Gather and pooling against numpy."""
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import gyr


@pytest.mark.parametrize("keys", ["hashed", "dense"])
@pytest.mark.parametrize("default", [False, True])
def test_gather_and_pool(keys, default, runtime):
    random = np.random.default_rng(5)
    rows = random.normal(size=(50, 8)).astype(np.float32)
    fallback = np.full(8, 0.5, np.float32)
    cache = gyr.Cache(8, keys=keys, capacity=100, default_row=fallback if default else None, runtime=runtime)
    stored = np.arange(50)
    cache.put(stored, rows)
    wanted = random.integers(0, 100, 300)
    found, status = cache.get(wanted)
    missing = wanted >= 50
    want = np.where(missing[:, None], fallback * default, rows[wanted % 50])
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(status, np.where(missing, gyr.DEFAULT if default else gyr.MISSING, gyr.PRESENT))
    bags = [wanted[a:b] for a, b in ((0, 0), (0, 5), (5, 40), (40, 41))]
    for pooling in ("sum", "mean"):
        pooled, per_key = cache.pool(bags, pooling)
        for bag, vector in zip(bags, pooled):
            used = [rows[key] if key < 50 else fallback for key in bag if key < 50 or default]
            total = np.sum(used, axis=0) if used else np.zeros(8)
            expected = total / len(used) if pooling == "mean" and used else total
            np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)
        assert len(per_key) == 41
    assert cache.remove([0, 1, 99]) == 2 and cache.info()["rows"] == 48


def test_refusals(runtime):
    cache = gyr.Cache(2, keys="dense", capacity=3, runtime=runtime)
    for keys, rows in (([0], [[np.nan, 1]]), ([3], [[1, 1]])):
        with pytest.raises(gyr.Error):
            cache.put(keys, rows)
    assert cache.info()["rows"] == 0
    with pytest.raises(ValueError, match="shape"):
        cache.put([0], [[1, 2, 3]])
    with pytest.raises(ValueError, match="offsets"):
        cache.pool((np.array([1]), np.array([0, 2])))


def rows_for(keys, dim):
    return (np.asarray(keys)[:, None] + np.arange(dim) / 8).astype(np.float32)


def test_limit_over_a_folder(runtime, tmp_path):
    tiers = gyr.Tiers(max_rows=50, folder=tmp_path / "rows", policy="lru")
    keys = np.arange(500)
    with gyr.Cache(4, runtime=runtime, tiers=tiers) as cache:
        cache.put(keys, rows_for(keys, 4))
        found, status = cache.get(keys)
        np.testing.assert_array_equal(found, rows_for(keys, 4))
        assert (status == gyr.PRESENT).all()
        info = cache.info()
        assert info["rows"] == info["max_rows"] == 50 and info["evicted"] > 400
    with gyr.Cache(4, runtime=runtime, tiers=tiers) as cache:  # the folder has them still
        assert cache.warm(keys[:30]) == 30
        np.testing.assert_array_equal(cache.get(keys[:30])[0], rows_for(keys[:30], 4))


def test_full_without_a_tier(runtime):
    cache = gyr.Cache(1, runtime=runtime, tiers=gyr.Tiers(max_rows=2))
    cache.put([1, 2], [[1], [2]])
    with pytest.raises(gyr.Error, match="GYR_E_RESOURCE_EXHAUSTED"):
        cache.put([3], [[3]])
    assert cache.info()["pinned"] == 2


def test_deltas_publish_and_files(runtime, tmp_path):
    cache, aside = gyr.Cache(2, runtime=runtime), gyr.Cache(2, runtime=runtime)
    assert cache.apply("events", 7, [1, 2], [[1, 1], [2, 2]])
    assert not cache.apply("events", 7, [1], [[9, 9]])
    assert cache.apply("events", 8, removed=[2]) and cache.offset("events") == 8
    cache.save(tmp_path / "cache.gyr")
    aside.put([5], [[5, 5]])
    cache.publish(aside)
    assert cache.get([1, 5])[1].tolist() == [gyr.MISSING, gyr.PRESENT]
    opened = gyr.Cache.open(tmp_path / "cache.gyr", runtime=runtime)
    assert opened.dim == 2 and opened.offset("events") == 8
    assert opened.get([1, 2])[1].tolist() == [gyr.PRESENT, gyr.MISSING]
    with pytest.raises(gyr.Error, match="GYR_E_NOT_FOUND"):
        opened.offset("others")


def test_over_redis(runtime, tmp_path):
    plugin = Path(gyr._lib.library_path).resolve().parent / "libgyr-redis.so"
    if not shutil.which("redis-server") or not plugin.exists():
        pytest.skip("redis-server or libgyr-redis.so is missing")
    socket = tmp_path / "s"
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""],
                              stdout=subprocess.DEVNULL)
    try:
        for _ in range(500):
            if socket.exists():
                break
            time.sleep(0.01)
        tier = gyr.redis_tier(f"unix:{socket}", row_bytes=8, library=plugin)
        cache = gyr.Cache(2, runtime=runtime, tiers=gyr.Tiers(max_rows=10, below=tier))
        keys = np.arange(100)
        cache.put(keys, rows_for(keys, 2))
        np.testing.assert_array_equal(cache.get(keys)[0], rows_for(keys, 2))
        assert cache.info()["rows"] == 10
    finally:
        server.kill()
        server.wait()
