"""Feature engineering against pandas and numpy."""
import collections
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gyr


def graph(inputs, ops, outputs=None):
    made = {"version": 1, "inputs": inputs, "ops": ops}
    return made | ({"outputs": outputs} if outputs else {})


def categorify(**options):
    return graph([{"name": "c", "dtype": "string"}], [{"op": "Categorify", "columns": ["c"], "as": ["code"], **options}],
                 ["code"])


def words(seed, count=2000):
    random = np.random.default_rng(seed)
    return [None if n > 60 else f"w{n}é" for n in random.zipf(1.4, count).tolist()]


def codes_of(values):
    """0 pad, 1 null, 2 out of vocabulary, then count descending, bytes ascending."""
    counts = collections.Counter(value for value in values if value is not None)
    order = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    return {None: 1} | {word: 3 + position for position, word in enumerate(order)}


@pytest.mark.parametrize("seed", range(3))
def test_categorify_against_a_counter(seed, runtime):
    values = words(seed)
    workflow = gyr.Workflow(categorify(), runtime)
    assert workflow.passes_left == 1
    data = pa.table({"c": values})
    found = workflow.fit_transform(data)["code"].to_pylist()
    expected = codes_of(values)
    assert found == [expected[value] for value in values]
    assert workflow.transform({"c": ["never seen", None]})["code"].to_pylist() == [2, 1]
    for word, code in expected.items():
        assert workflow.decode("code", code) == word
    assert workflow.decode("code", 0) is None and workflow.decode("code", 2) is None
    column = workflow.schema["columns"][0]
    assert column["name"] == "code" and column["cardinality"] == max(expected.values()) + 1
    with pytest.raises(gyr.Error):
        workflow.decode("code", 10**9)


def test_partial_fits_merge_exactly(runtime):
    values, spec = words(9), categorify()
    whole = gyr.Workflow(spec, runtime).fit(pa.table({"c": values}))
    parts = [gyr.Workflow(json.dumps(spec), runtime) for _ in range(3)]
    for part, slice_ in zip(parts, np.array_split(np.array(values, object), 3)):
        part.fit_partial({"c": slice_.tolist()})
    parts[0].merge(parts[2])
    parts[0].merge(parts[1])
    parts[0].fit_finish()
    assert parts[0].transform({"c": values}).equals(whole.transform({"c": values}))


def test_fit_reads_factories_and_one_shot_readers(runtime):
    values, calls = words(4), []
    table = pa.table({"c": values})

    def factory():
        calls.append(1)
        return table.to_reader(max_chunksize=100)
    first = gyr.Workflow(categorify(), runtime).fit(factory)
    second = gyr.Workflow(categorify(), runtime).fit(table.to_reader(max_chunksize=7))
    assert len(calls) == 1 and first.passes_left == 0
    assert first.transform(table).equals(second.transform(table))


def test_normalize_against_pandas(runtime):
    random = np.random.default_rng(8)
    frame = pd.DataFrame({"a": random.normal(1e6, 3, 5000), "b": random.exponential(2, 5000)})
    frame.loc[random.random(5000) < 0.1, "a"] = np.nan
    spec = graph([{"name": "a", "dtype": "float64"}, {"name": "b", "dtype": "float64"}],
                 [{"op": "Normalize", "columns": ["a"]}, {"op": "NormalizeMinMax", "columns": ["b"]}])
    found = gyr.Workflow(spec, runtime).fit_transform(frame).to_pandas()
    np.testing.assert_allclose(found["a"], (frame["a"] - frame["a"].mean()) / frame["a"].std(), rtol=1e-5, atol=1e-5)
    low, high = frame["b"].min(), frame["b"].max()
    np.testing.assert_allclose(found["b"], (frame["b"] - low) / (high - low), rtol=1e-5, atol=1e-6)


def test_elementwise_and_buckets_against_numpy(runtime):
    random = np.random.default_rng(3)
    x = random.normal(0, 50, 1000)
    spec = graph([{"name": "x", "dtype": "float64"}],
                 [{"op": "Clip", "columns": ["x"], "as": ["clipped"], "min_value": -10, "max_value": 40},
                  {"op": "Bucketize", "columns": ["x"], "as": ["bucket"], "boundaries": [-20, 0, 20.5]}])
    found = gyr.Workflow(spec, runtime).transform({"x": x})
    np.testing.assert_allclose(found["clipped"].to_numpy(), np.clip(x, -10, 40), rtol=1e-6)
    np.testing.assert_array_equal(found["bucket"].to_numpy(), np.digitize(x, [-20, 0, 20.5]))


ROW_GRAPH = graph(
    [{"name": "user", "dtype": "int64"}, {"name": "age", "dtype": "float32"}, {"name": "genres", "dtype": "string", "list": True}],
    [{"op": "Categorify", "columns": ["user"], "as": ["user_code"]},
     {"op": "Categorify", "columns": ["genres"], "as": ["genre_codes"]},
     {"op": "FillMissing", "columns": ["age"], "as": ["filled"], "value": -1}])
ROWS = [{"user": 5, "age": 31.5, "genres": ["a", "b"]}, {"user": 7, "age": None, "genres": []},
        {"user": None, "age": 2.0, "genres": None}, {"user": 5, "age": 0.0, "genres": ["b"] * 900}]
KINDS = pa.schema({"user": pa.int64(), "age": pa.float32(), "genres": pa.list_(pa.string())})


def test_one_row_is_the_batch(tmp_path, runtime):
    data = pa.Table.from_pylist(ROWS, KINDS)
    workflow = gyr.Workflow(ROW_GRAPH, runtime)
    want = workflow.fit_transform(data).to_pylist()
    workflow.save(tmp_path / "features.gyr")
    opened = gyr.Workflow.open(tmp_path / "features.gyr", runtime)
    assert opened.transform(data).to_pylist() == want
    assert opened.schema == workflow.schema
    for row, expected in zip(ROWS, want):
        assert workflow.transform_row(row) == expected


def test_an_opened_workflow_transforms_rows(tmp_path, runtime):
    workflow = gyr.Workflow(ROW_GRAPH, runtime).fit(pa.Table.from_pylist(ROWS, KINDS))
    workflow.save(tmp_path / "features.gyr")
    opened = gyr.Workflow.open(tmp_path / "features.gyr", runtime)
    assert opened.transform_row(ROWS[0]) == workflow.transform_row(ROWS[0])


def test_filters_remove_rows(runtime):
    spec = graph([{"name": "x", "dtype": "int64"}], [{"op": "Filter", "expr": "x > 2"}])
    workflow = gyr.Workflow(spec, runtime)
    assert workflow.transform({"x": [1, 3, 2, 9]})["x"].to_pylist() == [3, 9]
    assert workflow.transform_row({"x": 5}) == {"x": 5}
    with pytest.raises(gyr.Error) as caught:
        workflow.transform_row({"x": 1})
    assert caught.value.status == "GYR_E_NOT_FOUND"


def test_errors_name_the_place(runtime):
    with pytest.raises(gyr.Error, match=r"ops\[0\]"):
        gyr.Workflow(graph([{"name": "x", "dtype": "int64"}], [{"op": "NoSuchOp", "columns": ["x"]}]), runtime)
    workflow = gyr.Workflow(categorify(), runtime)
    with pytest.raises(gyr.Error) as caught:
        workflow.transform({"c": ["a"]})
    assert caught.value.status == "GYR_E_INVALID_STATE"
    with pytest.raises(gyr.Error, match="c"):
        workflow.fit({"other": [1]})
    assert workflow.passes_left == 1
    task = gyr.Task()
    task.cancel()
    with pytest.raises(gyr.Error) as caught:
        workflow.fit({"c": ["a"]}, task)
    assert caught.value.status == "GYR_E_CANCELLED"
    workflow.fit({"c": ["a"]})
