"""The feature table against a dict."""
import datetime

import numpy as np
import pyarrow as pa
import pytest

import gyr

SCHEMA = {"name": "users", "key": "user_id", "key_dtype": "int64", "event_time": "ts", "ttl_seconds": 100,
          "columns": [{"name": "age", "dtype": "float32"}, {"name": "visits", "dtype": "int64"},
                      {"name": "member", "dtype": "bool"}, {"name": "city", "dtype": "string"},
                      {"name": "genres", "dtype": "string", "list": True},
                      {"name": "history", "dtype": "int64", "list": True}]}


def rows(random, count):
    def maybe(value):
        return None if random.random() < 0.2 else value
    return [{"user_id": int(random.integers(0, 40)), "ts": int(random.integers(0, 50)) * 1_000_000,
             "age": maybe(float(random.integers(0, 90))), "visits": maybe(int(random.integers(-5, 1 << 40))),
             "member": maybe(bool(random.integers(0, 2))), "city": maybe("é" * int(random.integers(0, 40))),
             "genres": maybe(["g" * int(n) for n in random.integers(0, 9, random.integers(0, 4))]),
             "history": maybe(random.integers(0, 1000, random.integers(0, 30)).tolist())} for _ in range(count)]


def arrow(data):
    names = {"user_id": pa.int64(), "ts": pa.timestamp("us"), "age": pa.float32(), "visits": pa.int64(),
             "member": pa.bool_(), "city": pa.string(), "genres": pa.list_(pa.string()), "history": pa.list_(pa.int64())}
    return pa.table({name: pa.array([row[name] for row in data], kind) for name, kind in names.items()})


def test_upserts_and_gets_against_a_dict(runtime):
    random = np.random.default_rng(2)
    table, oracle = gyr.Table(SCHEMA, runtime), {}
    for _ in range(5):
        batch = rows(random, 60)
        stats = table.upsert(arrow(batch))
        applied = 0
        for row in batch:
            known = oracle.get(row["user_id"])
            if known is None or row["ts"] >= known["ts"]:
                oracle[row["user_id"]] = row
                applied += 1
        assert (stats.rows, stats.applied, stats.stale) == (60, applied, 60 - applied)
    assert len(table) == len(oracle)
    now = 110 * 1_000_000
    found = table.get(np.arange(45), now=now)
    for position, row in enumerate(found.table.to_pylist()):
        known = oracle.get(position)
        expired = known is not None and now > known["ts"] + 100 * 1_000_000
        for name in row:
            status = found.status[name][position]
            if known is None:
                assert status == gyr.MISSING and row[name] is None
            elif expired:
                assert status == gyr.EXPIRED and row[name] is None
            else:
                assert status == (gyr.NULL if known[name] is None else gyr.PRESENT), name
                assert row[name] == known[name], name
    exported = {row["user_id"]: row for row in table.export().read_all().to_pylist()}
    assert exported.keys() == oracle.keys()
    for key, known in oracle.items():
        for name in ("age", "visits", "member", "city", "genres", "history"):
            assert exported[key][name] == known[name]


def test_live_rows_partial_columns_and_deletes(runtime):
    table = gyr.Table(SCHEMA, runtime)
    at = datetime.datetime(2024, 1, 1)
    assert table.upsert_row(7, at, age=30, city="Ulm", history=[1, 2], genres=["a", "é"], member=True)
    assert table.upsert_row(7, at + datetime.timedelta(seconds=1), visits=3)
    assert not table.upsert_row(7, at, age=99)
    found = table.get(7, now=gyr.ALWAYS)
    assert found.table.to_pylist() == [{"age": 30.0, "visits": 3, "member": True, "city": "Ulm", "genres": ["a", "é"],
                                        "history": [1, 2]}]
    assert table.get([7], ["visits"], now=at).status["visits"][0] != gyr.PRESENT  # not yet known then
    with pytest.raises(gyr.Error) as caught:
        table.upsert_row(7, at, nothing=1)
    assert caught.value.status == "GYR_E_NOT_FOUND" and "nothing" in caught.value.message
    with pytest.raises(gyr.Error):
        table.get([7], ["nothing"])
    assert table.delete([7, 8]) == 1 and len(table) == 0


def test_string_keys_and_files(tmp_path, runtime):
    schema = {"name": "items", "key": "id", "key_dtype": "string", "columns": [{"name": "year", "dtype": "int32"}]}
    table = gyr.Table(schema, runtime)
    table.upsert({"id": ["a", "ß", "c"], "year": np.array([1, 2, 3], np.int32)})
    table.save(tmp_path / "items.gyr")
    opened = gyr.Table.open(tmp_path / "items.gyr", runtime)
    found = opened.get(["ß", "x", "a"])
    assert found.table["year"].to_pylist() == [2, None, 1]
    assert found.status["year"].tolist() == [gyr.PRESENT, gyr.MISSING, gyr.PRESENT]
    with pytest.raises(gyr.Error):
        opened.get([1])


def test_a_bad_schema_names_the_path(runtime):
    with pytest.raises(gyr.Error, match=r"columns\[0\]"):
        gyr.Table({"name": "t", "key": "k", "key_dtype": "int64", "columns": [{"name": "x", "dtype": "wrong"}]}, runtime)


def test_columns_without_any_value(runtime):
    table = gyr.Table(SCHEMA, runtime)
    table.upsert([{"user_id": 1, "ts": 1, "city": None, "genres": [], "age": None, "history": None},
                  {"user_id": 2, "ts": 1, "city": None, "genres": [None], "age": None, "history": None}])
    found = table.get([1, 2], now=gyr.ALWAYS)
    assert found.table["genres"].to_pylist() == [[], [None]]
    for name in ("city", "age", "visits", "history"):
        assert found.status[name].tolist() == [gyr.NULL, gyr.NULL]
    with pytest.raises(gyr.Error, match="city"):
        table.upsert({"user_id": [1], "ts": [2], "city": [[None]]})


def test_null_list_elements_come_back_null():
    table = gyr.Table({"name": "t", "key": "id", "key_dtype": "int64",
                       "columns": [{"name": "n", "dtype": "int64", "list": True},
                                   {"name": "s", "dtype": "string", "list": True}]})
    rows = pa.table({"id": [1, 2], "n": pa.array([[1, None, 3], [4]]), "s": pa.array([["a", None], []], pa.list_(pa.string()))})
    table.upsert(rows)
    got, _ = table.get([1, 2, 9], ["n", "s"])
    assert got["n"].to_pylist() == [[1, None, 3], [4], None]
    assert got["s"].to_pylist() == [["a", None], [], None]
