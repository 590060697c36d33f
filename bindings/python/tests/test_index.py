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
@pytest.mark.parametrize("kind", ["exact", "graph", "ivf"])
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


@pytest.mark.parametrize("kind", ["exact", "graph", "ivf"])
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


KINDS = ["exact", "graph", "ivf"]


def same(index, ids, vectors):
    """The index holds exactly these."""
    assert len(index) == len(ids)
    dim = vectors.shape[1]
    other = gyr.Index(dim, metric="l2", kind="exact")
    other.upsert(ids, vectors.astype(np.float32))
    queries = np.random.default_rng(3).normal(size=(20, dim)).astype(np.float32)
    for got, want in zip(index.search(queries, 7, exact=True), other.search(queries, 7)):
        np.testing.assert_array_equal(got, want)


def arrow(ids, vectors, width=None, type=pa.float32()):
    flat = pa.array(vectors.reshape(-1), type)
    return pa.table({"vector": pa.FixedSizeListArray.from_arrays(flat, width or vectors.shape[1]), "id": ids})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_arrow_streams(kind, dtype, data, runtime):
    ids, vectors, _ = data
    vectors = vectors.astype(dtype)
    table = arrow(ids, vectors, type=pa.from_numpy_dtype(dtype))
    index = gyr.Index(24, metric="l2", kind=kind, runtime=runtime)
    index.upsert_arrow(table.slice(100))  # offsets
    index.upsert_arrow(pa.Table.from_batches(table.slice(0, 150).to_batches(max_chunksize=7)))
    same(index, ids, vectors)
    # An id that comes again replaces what came before, within a chunk, too.
    twice = pa.concat_tables([arrow(ids[:10], vectors[10:20], type=pa.from_numpy_dtype(dtype)), table])
    index.upsert_arrow(twice)
    same(index, ids, vectors)


def test_arrow_streams_of_many_chunks(runtime):
    random = np.random.default_rng(4)
    vectors = random.normal(size=(150_000, 4)).astype(np.float32)
    ids = np.arange(len(vectors)) * 3
    index = gyr.Index(4, metric="l2", kind="ivf", runtime=runtime)
    with gyr.Task() as task:
        index.upsert_arrow(arrow(ids, vectors), task=task)
        assert task.progress().done == 150_000
    same(index, ids, vectors)
    found, _ = index.search(vectors[::1500], 1)
    assert (found[:, 0] == ids[::1500]).mean() > 0.95


def test_arrow_mistakes(data, runtime):
    ids, vectors, _ = data
    index = gyr.Index(24, runtime=runtime)

    def refused(match, table, **columns):
        with pytest.raises(gyr.Error, match=match) as caught:
            index.upsert_arrow(table, **columns)
        assert caught.value.status == "GYR_E_INVALID_ARGUMENT"

    good = arrow(ids, vectors)
    refused('no column "nothing"', good, id_column="nothing")
    refused('"id": it is not of type fixed', good, vector_column="id")
    refused('"vector": it is not of type int64', good, id_column="vector")
    refused("12 values; expected 24", arrow(np.arange(1200), vectors, 12))
    refused("neither of float32 nor", arrow(ids, vectors.astype(np.float64), type=pa.float64()))
    lists = [None if i == 555 else list(v) for i, v in enumerate(vectors)]
    refused('"vector": row 555 is null', pa.table({"id": ids, "vector": pa.array(lists, pa.list_(pa.float32(), 24))}))
    lists = [[None] * 24 if i == 5 else list(v) for i, v in enumerate(vectors)]
    refused('"vector": row 5 is null', pa.table({"id": ids, "vector": pa.array(lists, pa.list_(pa.float32(), 24))}))
    some = pa.array([None if i == 17 else int(x) for i, x in enumerate(ids)], pa.int64())
    refused('"id": row 17 is null', good.set_column(1, "id", some))
    bad = vectors.copy()
    bad[321, 7] = np.nan
    refused(r"vector\[321\]\[7\] is not finite", arrow(ids, bad))
    assert len(index) == 0


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8"])
def test_tensors(dtype, data, runtime):
    ids, vectors, _ = data
    values = (vectors * 20 + (128 if dtype == "uint8" else 0)).astype(dtype)
    index = gyr.Index(24, metric="l2", kind="ivf", runtime=runtime)
    index.upsert_tensor(ids, values)
    same(index, ids, values)
    wide = np.ascontiguousarray(np.hstack([values, values]))
    index.upsert_tensor(ids, wide[:, 24:])  # rows apart
    same(index, ids, values)
    for tensor, match in ((wide, "shape"), (np.asfortranarray(values), "row-major"), (values[::-1], "run backwards"),
                          (values.astype(np.int32), "32 bits"), (values[0], "no matrix")):
        with pytest.raises(gyr.Error, match=match):
            index.upsert_tensor(ids, tensor)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8"])
def test_npy_files(dtype, data, runtime, tmp_path):
    ids, vectors, _ = data
    values = (vectors * 20 + (128 if dtype == "uint8" else 0)).astype(dtype)
    path = tmp_path / "v.npy"
    np.save(path, values)
    index = gyr.Index(24, metric="l2", runtime=runtime)
    index.upsert_file(path, ids)
    same(index, ids, values)
    index = gyr.Index(24, metric="l2", kind="ivf", runtime=runtime)
    index.upsert_file(path, first_id=1000)
    same(index, np.arange(1000, 1600), values)


def test_vecs_files(data, runtime, tmp_path):
    ids, vectors, _ = data
    dims = np.full((600, 1), 24, np.int32)
    (tmp_path / "a.fvecs").write_bytes(np.hstack([dims.view(np.float32), vectors]).tobytes())
    index = gyr.Index(24, metric="l2", runtime=runtime)
    index.upsert_file(tmp_path / "a.fvecs")
    same(index, np.arange(600), vectors)
    whole = (vectors * 20 + 128).astype(np.uint8)
    (tmp_path / "a.bvecs").write_bytes(np.hstack([dims.view(np.uint8), whole]).tobytes())
    index = gyr.Index(24, metric="l2", runtime=runtime)
    index.upsert_file(tmp_path / "a.bvecs", ids)
    same(index, ids, whole)


def test_file_mistakes(data, runtime, tmp_path):
    _, vectors, _ = data
    index = gyr.Index(24, runtime=runtime)

    def refused(code, match, path, *args, **more):
        with pytest.raises(gyr.Error, match=match) as caught:
            index.upsert_file(path, *args, **more)
        assert caught.value.status == "GYR_E_" + code

    path = tmp_path / "v.npy"
    refused("NOT_FOUND", "does not exist", path)
    for values, match in ((np.asfortranarray(vectors), "Fortran"), (vectors[0], "matrix"), (vectors[:, :9], "9 values"),
                          (vectors.astype(">f4"), ">f4"), (vectors.astype(np.float64), "<f8")):
        np.save(path, values)
        refused("INVALID_ARGUMENT", match, path)
    np.save(path, vectors)
    refused("INVALID_ARGUMENT", "600 rows, but there are 3 ids", path, [1, 2, 3])
    refused("OUT_OF_RANGE", "first_id", path, first_id=2**63 - 599)
    good = path.read_bytes()
    for damaged, match in ((good[:-1], "promises 600 rows"), (good + b"x", "promises 600 rows"), (good[:60], "header"),
                           (good[:4], "begin"), (good.replace(b"(600,", b"(900,"), "promises 900 rows"),
                           (good.replace(b"shape", b"shaqe"), "header"), (b"", "begin")):
        path.write_bytes(damaged)
        refused("CORRUPT", match, path)
    path = tmp_path / "v.bin"
    path.write_bytes(good)
    refused("INVALID_ARGUMENT", "ends in none", path)
    rows = np.hstack([np.full((600, 1), 24, np.int32).view(np.float32), vectors])
    path = tmp_path / "v.fvecs"
    path.write_bytes(rows.tobytes()[:-5])
    refused("CORRUPT", "95 bytes into row 599", path)
    rows[400, 0] = np.int32(7).view(np.float32)
    path.write_bytes(rows.tobytes())
    refused("CORRUPT", "row 400, at byte 40000, has 7 values", path)
    rows[0, 0] = np.int32(7).view(np.float32)
    path.write_bytes(rows.tobytes())
    refused("INVALID_ARGUMENT", "7 values; expected 24", path)
    assert len(index) == 0
