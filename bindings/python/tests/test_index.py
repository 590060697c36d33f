"""Search against numpy."""
import numpy as np
import pyarrow as pa
import pytest

import gyr


def oracle(vectors, ids, queries, k, metric):
    vectors, queries = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        scores = -((queries[:, None, :] - vectors[None]) ** 2).sum(-1)
    else:
        if metric == "cosine":
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        scores = queries @ vectors.T
    order = [np.lexsort((ids, -row))[:k] for row in scores]
    return np.stack([ids[each] for each in order]), np.stack([row[each] for row, each in zip(scores, order)])


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(11)
    ids = random.permutation(10_000)[:600].astype(np.int64) - 3000
    return ids, random.normal(size=(600, 24)).astype(np.float32), random.normal(size=(20, 24)).astype(np.float32)


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("kind", ["exact", "graph"])
def test_exact_search(metric, kind, data, runtime):
    ids, vectors, queries = data
    index = gyr.Index(24, metric=metric, kind=kind, runtime=runtime)
    index.upsert(ids, vectors)
    found, scores = index.search(queries, 10, exact=True)
    want, want_scores = oracle(vectors, ids, queries, 10, metric)
    np.testing.assert_allclose(scores, want_scores, rtol=1e-4, atol=1e-4)
    assert (found == want).mean() > 0.99  # float32 may swap near ties
    assert len(index) == 600 and index.info()["metric"] == metric and index.info()["kind"] == kind


def test_graph_recall(data, runtime):
    ids, vectors, queries = data
    index = gyr.Index(24, metric="cosine", kind="graph", runtime=runtime)
    index.upsert(ids, vectors)
    found, _ = index.search(queries, 10, effort=200)
    want, _ = oracle(vectors, ids, queries, 10, "cosine")
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, want)]) > 0.9


@pytest.mark.parametrize("kind", ["exact", "graph"])
def test_filters_and_deletes(kind, data, runtime):
    ids, vectors, queries = data
    index = gyr.Index(24, kind=kind, runtime=runtime)
    index.upsert(ids, vectors)
    allowed = ids[::7]
    found, scores = index.search(queries, 10, allowed_ids=np.append(allowed, 999_999))
    want, _ = oracle(vectors[::7], allowed, queries, 10, "ip")
    assert set(found.ravel()) <= set(allowed)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, want)]) > 0.9
    again, _ = index.search(queries, 10, filter=index.filter(allowed))
    np.testing.assert_array_equal(found, again)
    none, scores = index.search(queries, 3, allowed_ids=[])
    assert (none == -1).all() and np.isnan(scores).all()
    assert index.delete(np.append(ids[:100], 999_999)) == 100
    found, _ = index.search(queries, 10, exact=True)
    assert not set(found.ravel()) & set(ids[:100])
    assert (index.slots(ids[:3]) == -1).all() and (index.slots(ids[100:]) >= 0).all()


def test_fewer_than_k_and_replacement(runtime):
    index = gyr.Index(2, runtime=runtime)
    assert index.search([1, 0], 2)[0].tolist() == [[-1, -1]]
    index.upsert([5, 6], [[1, 0], [0, 1]])
    index.upsert([5], [[3, 0]])
    found, scores = index.search([[1, 0]], 3)
    assert found.tolist() == [[5, 6, -1]] and scores[0, :2].tolist() == [3, 0] and np.isnan(scores[0, 2])


def test_save_and_open(tmp_path, data, runtime):
    ids, vectors, queries = data
    index = gyr.Index(24, metric="l2", runtime=runtime)
    index.upsert(ids, vectors)
    index.save(tmp_path / "items.gyr")
    index.close()
    opened = gyr.Index.open(tmp_path / "items.gyr", runtime)
    want, _ = oracle(vectors, ids, queries, 5, "l2")
    assert (opened.search(queries, 5, exact=True)[0] == want).mean() > 0.99
    with pytest.raises(gyr.Error) as caught:
        gyr.Index.open(tmp_path / "nothing", runtime)
    assert caught.value.status in ("GYR_E_IO", "GYR_E_NOT_FOUND") and "nothing" in caught.value.message


def test_bad_input(runtime):
    index = gyr.Index(3, metric="cosine", runtime=runtime)
    for ids, vectors in (([1], [[0, 0, 0]]), ([1], [[np.nan, 0, 1]]), ([1, 1], [[1, 0, 0], [0, 1, 0]])):
        with pytest.raises(gyr.Error):
            index.upsert(ids, vectors)
        assert len(index) == 0
    with pytest.raises(ValueError, match="shape"):
        index.upsert([1], [[1, 2]])
    with pytest.raises(TypeError, match="int64"):
        index.upsert([1.5], [[1, 2, 3]])
    with pytest.raises(gyr.Error):
        gyr.Index(0, runtime=runtime)
    with pytest.raises(gyr.Error):
        index.search([[1, 2, 3]], 70_000)


def test_contiguous_arrays_are_not_copied():
    from gyr._values import numbers
    array = np.ones((4, 3), np.float32)
    assert numbers(array, np.float32) is array
    assert numbers(array[:, ::2], np.float32).flags.c_contiguous


@pytest.mark.parametrize("stored", ["fp32", "fp16", "bf16", "int16", "int8"])
def test_keeps_vectors_in_every_precision(runtime, stored, tmp_path):
    rng = np.random.default_rng(3)
    data, queries = rng.standard_normal((500, 24), np.float32), rng.standard_normal((20, 24), np.float32)
    index = gyr.Index(24, stored=stored, runtime=runtime)
    index.upsert(np.arange(500), data)
    info = index.info()
    assert info["stored"] == stored
    assert info["bytes"] == gyr.Index.estimate(500, 24, stored=stored)[0]
    index.save(tmp_path / "index.gyr")
    opened = gyr.Index.open(tmp_path / "index.gyr", runtime=runtime)
    ids, scores = opened.search(queries, k=5)
    room = {"fp32": 1e-5, "fp16": 0.02, "bf16": 0.15, "int16": 0.01, "int8": 0.5}[stored]
    assert np.allclose(scores, np.einsum("qkd,qd->qk", data[ids], queries), atol=room)
    assert np.array_equal(index.search(queries, k=5)[0], ids)


def best(ids, vectors, queries, k, allowed, metric="ip"):
    keep = np.isin(ids, allowed)
    return oracle(vectors[keep], ids[keep], queries, k, metric)[0]


@pytest.mark.parametrize("kind", ["exact", "graph"])
def test_selections_outlive_deletes(kind, data, runtime):
    ids, vectors, queries = data
    index = gyr.Index(24, kind=kind, runtime=runtime)
    index.upsert(ids, vectors)
    chosen = index.select(ids[:100])
    assert len(chosen) == 100 and chosen.info()["changes"] == 0
    assert (index.search(queries, 5, filter=chosen, exact=True)[0] == best(ids, vectors, queries, 5, ids[:100])).mean() > .99
    index.delete(ids[:50])
    index.upsert(np.arange(20_000, 20_050), vectors[:50])  # into the freed slots
    assert len(chosen) == 50 and chosen.info()["changes"] == 100
    found, _ = index.search(queries, 60, filter=chosen)
    assert set(found.ravel()) == {-1} | set(ids[50:100])
    index.upsert(ids[:1], vectors[:1])
    chosen.refresh()
    assert len(chosen) == 51 and len(index.select()) == 601 and len(index.select([])) == 0
    assert (index.search(queries, 3, filter=index.select([]))[0] == -1).all()
    with pytest.raises(gyr.Error, match="another index"):
        gyr.Index(24, runtime=runtime).search(queries, 3, filter=chosen)


def test_ids_per_query(data, runtime):
    ids, vectors, queries = data
    index = gyr.Index(24, runtime=runtime)
    index.upsert(ids, vectors)
    lists = [list(ids[i : i + i % 7]) for i in range(len(queries))]
    for given in (lists, gyr._values.ragged(lists)):
        found, scores = index.search(queries, 5, allowed_ids=given)
        for allowed, row, score in zip(lists, found, scores):
            assert set(row[row >= -3000]) - {-1} <= set(allowed)
            assert np.isnan(score).sum() == 5 - min(5, len(allowed))
    assert (index.search(queries, 3, allowed_ids=[])[0] == -1).all()
    with pytest.raises(ValueError, match="a list per query"):
        index.search(queries, 5, allowed_ids=lists[:3])
    with pytest.raises(ValueError, match="offsets"):
        index.search(queries[:1], 5, allowed_ids=(np.arange(3), np.array([0, 4])))


def test_conditions_over_a_table(data, runtime):
    ids, vectors, queries = data
    index = gyr.Index(24, runtime=runtime)
    index.upsert(ids, vectors)
    columns = [{"name": "price", "dtype": "float32"}, {"name": "genre", "dtype": "string"}]
    for dtype, keys in (("int64", None), ("string", [f"key {i}" for i in range(4000)])):
        table = gyr.Table({"name": "items", "key": "item", "key_dtype": dtype, "columns": columns}, runtime=runtime)
        known = ids[(ids >= 0) & (ids < 3000)]
        table.upsert(pa.table({"item": pa.array(known if keys is None else [keys[i] for i in known]),
                               "price": pa.array(known / 10, pa.float32()),
                               "genre": pa.array(["noir" if i % 3 else None for i in known])}))
        chosen = index.select(table=table, condition="price < 200 and genre == 'noir'", keys=keys)
        want = known[(known < 2000) & (known % 3 != 0)]
        assert len(chosen) == len(want)
        found, _ = index.search(queries, 5, filter=chosen)
        assert set(found.ravel()) <= set(want)
        few = index.select(ids=want[:9], table=table, condition="price >= 0", keys=keys)
        assert len(few) == 9
        table.delete(want[:4] if keys is None else [keys[i] for i in want[:4]])
        assert len(few) == 9  # until it is asked again
        few.refresh()
        assert len(few) == 5
        missing = index.select(table=table, condition="price is null", keys=keys)  # ids without a row, too
        rows = len(known) - 4
        assert len(missing) == ((ids >= 0).sum() if keys else len(ids)) - rows - ((ids >= 4000).sum() if keys else 0)
        by_key = "item == 'key 7'" if keys else "item >= 2000 and item < 3000"
        assert len(index.select(table=table, condition=by_key, keys=keys)) == (
            7 in ids if keys else ((ids >= 2000) & (ids < 3000)).sum())
        for wrong, why in (("price", "condition"), ("prize > 1", "prize"), ("price >", "condition")):
            with pytest.raises(gyr.Error, match=why):
                index.select(table=table, condition=wrong, keys=keys)
        with pytest.raises(gyr.Error, match="keys"):
            index.select(table=table, condition="price > 1", keys=None if keys else ["a"])
    with pytest.raises(gyr.Error, match="table is NULL"):
        index.select(condition="price > 1")


def test_evaluate_and_tune(runtime, tmp_path):
    random = np.random.default_rng(3)
    vectors, queries = random.normal(size=(6000, 16)).astype(np.float32), random.normal(size=(100, 16)).astype(np.float32)
    index = gyr.Index(16, metric="l2", runtime=runtime)
    index.upsert(np.arange(6000), vectors)
    found = index.evaluate(queries, efforts=[10, 30, 90])
    truth = index.search(queries, 10, exact=True)[0]
    for i, effort in enumerate(found["effort"]):
        got = index.search(queries, 10, effort=int(effort))[0]
        assert found["recall"][i] == pytest.approx(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(got, truth)]))
    assert (np.diff(found["recall"]) > 0).all() and (np.diff(found["bytes"]) > 0).all()
    assert 0 < index.evaluate(n=50)["recall"][0] <= 1
    tuned = index.tune(0.9, queries)
    assert tuned["recall"] >= 0.9 and index.info()["tuned_effort"] == tuned["effort"]
    index.save(tmp_path / "index")
    opened = gyr.Index.open(tmp_path / "index", runtime=runtime)
    assert opened.info()["tuned_effort"] == tuned["effort"]
    assert (opened.search(queries, 10)[0] == index.search(queries, 10, effort=tuned["effort"])[0]).all()
    with pytest.raises(gyr.Error, match="recall is 1.5"):
        index.tune(1.5)
    with pytest.raises(gyr.Error, match="k is 70000"):
        index.evaluate(k=70000)
    before = index.info()["codes_touched"]
    index.search(queries, 10)
    assert index.info()["codes_touched"] > before and index.info()["code_bytes"] == 64 + 12
