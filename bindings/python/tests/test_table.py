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


PAST = {"name": "users", "key": "user_id", "event_time": "ts", "created_time": "created", "ttl_seconds": 7200,
        "history": {"versions": 8}, "columns": [{"name": "v", "dtype": "int64"}, {"name": "clicks", "dtype": "int64"}],
        "views": [{"name": "clicked", "event_time": "clicked_at", "columns": ["clicks"]}]}


def at(hour, minute):
    return datetime.datetime(2026, 1, 1, hour, minute)


def past(runtime):
    table = gyr.Table(PAST, runtime)
    for event, created, value in [((10, 0), (10, 0), 1), ((11, 0), (11, 5), 3), ((11, 0), (11, 0), 2),
                                  ((12, 30), (12, 30), 4)]:
        stats = table.upsert([{"user_id": 1, "ts": at(*event), "created": at(*created), "v": value}])
        assert (stats.applied, stats.late) == ((0, 1) if value == 2 else (1, 0))
    return table


def test_rows_as_they_were(runtime):
    table = past(runtime)
    times = [at(9, 59), at(10, 0), at(11, 2), at(11, 5), at(14, 30), at(14, 31)]
    found = table.get_as_of([1] * 6, times, ["v"])
    assert found.table["v"].to_pylist() == [None, 1, 2, 3, 4, None]
    assert found.status["v"].tolist() == [gyr.MISSING, 0, 0, 0, 0, gyr.EXPIRED]
    assert table.get_as_of([1, 2], at(11, 2), ["v"], unknown_too=True).table["v"].to_pylist() == [3, None]
    with pytest.raises(ValueError, match="times"):
        table.get_as_of([1, 2], [at(11, 2)])
    with pytest.raises(gyr.Error, match="history"):
        gyr.Table(SCHEMA, runtime).get_as_of([1], 5)


def test_labels_joined_with_rows_as_they_were(runtime):
    labels = [{"who": 1, "when": at(11, 2), "label": 1.0}, {"who": 2, "when": at(11, 2), "label": 0.0},
              {"who": 1, "when": at(12, 40), "label": 1.0}]
    table = past(runtime)
    joined = table.join_as_of(labels, ["v"], key="who", time="when", prefix="then_").read_all()
    assert joined.column_names == ["who", "when", "label", "then_v"]
    assert joined["then_v"].to_pylist() == [2, None, 4]
    assert joined["label"].to_pylist() == [1.0, 0.0, 1.0]
    later = table.join_as_of(labels, key="who", time="when", unknown_too=True).read_all()
    assert later["v"].to_pylist() == [3, None, 4] and later["clicks"].null_count == 3


def test_views_have_times_of_their_own(runtime, tmp_path):
    table = past(runtime)
    table.upsert([{"user_id": 1, "clicked_at": at(9, 0), "created": at(9, 0), "clicks": 7}])
    found = table.get([1], now=at(13, 0))
    assert found.table.to_pylist() == [{"v": 4, "clicks": 7}]
    assert table.get([1], now=at(16, 0)).table.to_pylist() == [{"v": None, "clicks": 7}]
    table.save(tmp_path / "past.gyr")
    again = gyr.Table.open(tmp_path / "past.gyr", runtime)
    assert again.info()["versions"] == table.info()["versions"] == 5
    assert again.export().read_all() == table.export().read_all()
    copy = gyr.Table(PAST, runtime)
    assert copy.upsert(table.export()).applied == 1
    assert copy.get([1], now=at(13, 0)).table.to_pylist() == [{"v": 4, "clicks": 7}]


def test_plan_reads_several_tables(runtime):
    users = gyr.Table(SCHEMA, runtime)
    users.upsert(arrow([{"user_id": 1, "ts": 5, "age": 30.0, "visits": None, "member": True, "city": "x" * 3000,
                         "genres": ["a"], "history": [1, 2]}]))
    words = gyr.Table({"name": "words", "key": "w", "key_dtype": "string",
                       "columns": [{"name": "n", "dtype": "int64"}]}, runtime)
    words.upsert([{"w": "a", "n": 7}])
    plan = gyr.GetPlan([users, words], {"age": (0, "age"), "visits": (0, "visits", -1), "city": (0, "city"),
                                        "history": (0, "history"), "n": (1, "n")})
    found = plan.get([1, 2], ["b", "a"], now=gyr.ALWAYS)
    assert found.table.to_pylist() == [
        {"age": 30.0, "visits": -1, "city": "x" * 3000, "history": [1, 2], "n": None},
        {"age": None, "visits": -1, "city": None, "history": None, "n": 7}]
    assert found.status["visits"].tolist() == [gyr.DEFAULT, gyr.DEFAULT]
    assert found.status["n"].tolist() == [gyr.MISSING, gyr.PRESENT]
    with pytest.raises(gyr.Error, match="no column"):
        gyr.GetPlan([users], {"x": (0, "nothing")})
    with pytest.raises(gyr.Error, match="columns"):
        plan.get([1])


def test_sweep_and_estimate(runtime):
    table = gyr.Table(SCHEMA, runtime)
    table.upsert(arrow([dict(row, user_id=i) for i, row in enumerate(rows(np.random.default_rng(1), 500))]))
    old = sum(1 for ts in table.export().read_all()["ts"].cast(pa.int64()).to_pylist() if ts + 100_000_000 < 120_000_000)
    assert 0 < old < 500
    assert table.sweep(120_000_000, step=16) == old
    assert len(table) == 500 - old
    schema = {"name": "t", "key": "id", "columns": [{"name": "v", "dtype": "int64"}]}
    many = gyr.Table(schema, runtime)
    many.upsert({"id": np.arange(100_000), "v": np.arange(100_000)})
    assert abs(gyr.Table.estimate(schema, 100_000) / many.info()["bytes"] - 1) < 0.15


@pytest.mark.parametrize("durability", ["async", "sync", "none"])
def test_a_table_in_a_folder_comes_back(tmp_path, runtime, durability):
    folder, data = tmp_path / "users", rows(np.random.default_rng(5), 60)
    with pytest.raises(gyr.Error, match="does not exist"):
        gyr.Table.open_live(folder, runtime=runtime)
    table = gyr.Table.open_live(folder, SCHEMA, durability, runtime=runtime)
    with pytest.raises(gyr.Error, match="lock"):
        gyr.Table.open_live(folder, runtime=runtime)
    table.upsert(arrow(data))
    table.delete([data[0]["user_id"]])
    before = table.export().read_all()
    if durability == "none":
        with pytest.raises(gyr.Error, match="checkpoint"):
            table.flush()
        table.checkpoint()
    else:
        table.flush()
        info = table.log_info()
        assert info["durable_lsn"] == info["last_lsn"] == 2 and info["files"] == 1 and not info["failed"]
    table.close()
    more = {**SCHEMA, "columns": SCHEMA["columns"] + [{"name": "new", "dtype": "int8"}]}
    table = gyr.Table.open_live(folder, more, durability, runtime=runtime)
    after = table.export().read_all()
    assert after.drop_columns(["new"]).equals(before) and after["new"].null_count == len(before)
    table.checkpoint()
    assert table.log_info()["bytes"] == 0
    with pytest.raises(ValueError, match="durability"):
        gyr.Table.open_live(folder, durability="maybe", runtime=runtime)
