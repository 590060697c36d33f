"""Gather and pooling against numpy."""
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
