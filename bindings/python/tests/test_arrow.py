"""Every column type through a pass-through workflow and back, from every producer."""
import datetime
import decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import gyr

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]
FLOATS = ["float32", "float64"]
STAMPS = [datetime.datetime(1969, 12, 31, 23, 59, 58), None, datetime.datetime(2024, 2, 29, 12, 30, 1)]


def passing(dtype, is_list=False, name="x", runtime=None):
    return gyr.Workflow({"version": 1, "inputs": [{"name": name, "dtype": dtype, "list": is_list}], "ops": []}, runtime)


def through(column, dtype, is_list=False, runtime=None):
    """The column's Python values after a round trip."""
    data = column if hasattr(column, "column_names") else pa.table({"x": column})
    return passing(dtype, is_list, runtime=runtime).transform(data)["x"].to_pylist()


def sample(dtype, random, count=300):
    """(values with nulls, Arrow type)."""
    if dtype == "bool":
        values = random.integers(0, 2, count).astype(bool).tolist()
    elif dtype == "string":
        values = ["", "é" * 3, "a rather long string that no view can hold inline", "tab\t"]
        values = [values[i] + str(i) for i in random.integers(0, 4, count)]
    elif dtype in FLOATS:
        values = random.normal(size=count).astype(dtype).tolist()
    else:
        info = np.iinfo(dtype)
        values = random.integers(info.min, info.max, count, endpoint=True, dtype=dtype).tolist()
        values[:2] = [int(info.min), int(info.max)]
    kind = {"bool": pa.bool_(), "string": pa.string()}.get(dtype) or pa.from_numpy_dtype(dtype)
    return [None if random.random() < 0.2 else value for value in values], kind


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, "bool", "string"])
def test_scalars_slices_chunks_and_lists(dtype, runtime):
    random = np.random.default_rng(17)
    values, kind = sample(dtype, random)
    array = pa.array(values, kind)
    assert through(array, dtype, runtime=runtime) == values
    for start, length in ((0, 0), (3, 7), (13, 200), (299, 1)):
        assert through(array.slice(start, length), dtype, runtime=runtime) == values[start:start + length]
    chunks = pa.chunked_array([array.slice(0, 5), array.slice(5, 0), array.slice(5)])
    assert through(chunks, dtype, runtime=runtime) == values
    lists = [None if i % 11 == 0 else values[i:i + i % 5] for i in range(len(values))]
    for list_kind in (pa.list_(kind), pa.large_list(kind)):
        nested = pa.array(lists, list_kind)
        assert through(nested, dtype, True, runtime) == lists
        assert through(nested.slice(7, 100), dtype, True, runtime) == lists[7:107]


def test_uint64_up_to_int64_max(runtime):
    assert through(pa.array([0, 2**63 - 1, None], pa.uint64()), "uint64", runtime=runtime) == [0, 2**63 - 1, None]
    with pytest.raises((gyr.Error, pa.ArrowException, OSError), match="x"):
        through(pa.array([2**63], pa.uint64()), "uint64", runtime=runtime)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_every_string_layout(kind, runtime):
    values = ["", "short", None, "longer than twelve bytes", "éèü"] * 20
    assert through(pa.array(values, kind), "string", runtime=runtime) == values
    assert through(pa.array(values, kind).slice(3, 50), "string", runtime=runtime) == values[3:53]


@pytest.mark.parametrize("index", [pa.int8(), pa.int32(), pa.int64(), pa.uint16()], ids=str)
def test_dictionaries(index, runtime):
    values = ["red", None, "green", "red", "blue"] * 10
    array = pa.array(values).dictionary_encode().cast(pa.dictionary(index, pa.string()))
    assert through(array, "string", runtime=runtime) == values
    assert through(array.slice(2, 9), "string", runtime=runtime) == values[2:11]
    numbers = pa.array([7, None, 9, 7]).dictionary_encode()
    assert through(numbers, "int64", runtime=runtime) == [7, None, 9, 7]
    lists = pa.ListArray.from_arrays([0, 2, 2, 5], array.slice(0, 5))
    assert through(lists, "string", True, runtime) == [["red", None], [], ["green", "red", "blue"]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_timestamps_of_each_unit(unit, zone, runtime):
    found = passing("timestamp", runtime=runtime).transform({"x": pa.array(STAMPS, pa.timestamp(unit, zone))})["x"]
    micro = [None if each is None else gyr._values.microseconds(each) for each in STAMPS]
    assert found.cast(pa.int64()).to_pylist() == micro


def test_dates(runtime):
    days = [datetime.date(1969, 7, 20), None, datetime.date(2024, 2, 29)]
    found = passing("timestamp", runtime=runtime).transform({"x": pa.array(days, pa.date32())})["x"]
    midnight = [None if day is None else datetime.datetime(day.year, day.month, day.day) for day in days]
    assert [None if v is None else v.replace(tzinfo=None) for v in found.to_pylist()] == midnight


@pytest.mark.parametrize("dtype", ["int64", "float32", "string", "timestamp"])
def test_a_null_column_fits_any_type(dtype, runtime):
    assert through(pa.nulls(3), dtype, runtime=runtime) == [None] * 3
    assert through(pa.nulls(3), dtype, True, runtime) == [None] * 3
    lists = [[], None, [None, None]]
    assert through(pa.array(lists), dtype, True, runtime) == lists
    with pytest.raises(gyr.Error, match="x"):
        through(pa.array(lists), dtype, False, runtime)


@pytest.mark.parametrize("array", [
    pa.array([decimal.Decimal("1.5")]), pa.array([1], pa.date64()), pa.array([{"a": 1}]), pa.array([b"raw"]), pa.array([[[1]]])], ids=lambda a: str(a.type))
def test_other_types_are_refused_by_name(array, runtime):
    with pytest.raises((gyr.Error, pa.ArrowException, OSError), match="x"):
        through(array, "int64", runtime=runtime)


FRAME = {"id": [3, 1, 2], "name": ["c", "é", "a string that is long enough"], "score": [0.5, 1.5, None],
         "tags": [["x"], [], ["y", "z"]]}
INPUTS = [{"name": "id", "dtype": "int64"}, {"name": "name", "dtype": "string"},
          {"name": "score", "dtype": "float64"}, {"name": "tags", "dtype": "string", "list": True}]


class ArrayOnly:
    """A producer that knows __arrow_c_array__ alone."""

    def __init__(self, batch):
        self._batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self._batch.__arrow_c_array__(requested_schema)


PRODUCERS = {
    "pyarrow table": lambda: pa.table(FRAME),
    "pyarrow batch": lambda: pa.RecordBatch.from_pydict(FRAME),
    "pyarrow reader": lambda: pa.table(FRAME).to_reader(max_chunksize=1),
    "python reader": lambda: pa.RecordBatchReader.from_batches(
        pa.table(FRAME).schema, (batch for batch in pa.table(FRAME).to_batches())),
    "array only": lambda: ArrayOnly(pa.RecordBatch.from_pydict(FRAME)),
    "polars": lambda: pl.DataFrame(FRAME),
    "polars slice": lambda: pl.concat([pl.DataFrame(FRAME)] * 2).slice(3, 3),
    "pandas": lambda: pd.DataFrame(FRAME, index=[9, 8, 7]),
    "duckdb": lambda: duckdb.connect().from_arrow(pa.table(FRAME)),
    "dict": lambda: FRAME,
    "dict of numpy": lambda: FRAME | {"id": np.array(FRAME["id"])},
    "rows": lambda: [dict(zip(FRAME, row)) for row in zip(*FRAME.values())],
}


@pytest.mark.parametrize("producer", PRODUCERS)
def test_producers(producer, runtime):
    workflow = gyr.Workflow({"version": 1, "inputs": INPUTS, "ops": []}, runtime)
    assert workflow.transform(PRODUCERS[producer]()).to_pydict() == FRAME


def test_the_output_feeds_other_consumers(runtime):
    workflow = gyr.Workflow({"version": 1, "inputs": INPUTS, "ops": []}, runtime)
    assert pl.DataFrame(workflow.transform_stream(FRAME)).to_dict(as_series=False) == FRAME
    assert pl.DataFrame(workflow.transform(FRAME)).to_dict(as_series=False) == FRAME
    assert workflow.transform(FRAME).to_pandas()["name"].tolist() == FRAME["name"]


def test_a_stream_outlives_its_workflow(runtime):
    workflow = gyr.Workflow({"version": 1, "inputs": INPUTS, "ops": []}, runtime)
    stream = workflow.transform_stream(pa.table(FRAME).to_reader(max_chunksize=1))
    workflow.close()
    assert stream.read_all().to_pydict() == FRAME


def test_a_producer_that_fails_midway(runtime):
    def batches():
        yield pa.RecordBatch.from_pydict({"x": [1]})
        raise RuntimeError("the disk fell off")
    reader = pa.RecordBatchReader.from_batches(pa.schema({"x": pa.int64()}), batches())
    with pytest.raises((pa.ArrowException, OSError, gyr.Error), match="the disk fell off"):
        passing("int64", runtime=runtime).transform(reader)


def test_what_is_not_a_table():
    for data in (3, "text", [1, 2], None):
        with pytest.raises(TypeError, match="not tabular"):
            gyr._arrow.producer(data)
