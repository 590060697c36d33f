"""Training through Python; the counting models against numpy."""
import numpy as np
import pyarrow as pa
import pytest

import gyr


@pytest.fixture(scope="module")
def events():
    """Two tastes: even users like even items, odd users odd ones."""
    random = np.random.default_rng(6)
    users = random.integers(0, 60, 4000)
    items = np.minimum(random.zipf(1.3, 4000), 20) * 2 + users % 2
    return pa.table({"user_id": users, "item_id": items})


@pytest.fixture(scope="module")
def prepared(events, runtime):
    workflow = gyr.Workflow({"version": 1, "inputs": [
        {"name": "user_id", "dtype": "int64", "tags": ["user_id"]}, {"name": "item_id", "dtype": "int64", "tags": ["item_id"]}],
        "ops": [{"op": "Categorify", "columns": ["user_id"], "as": ["user"]},
                {"op": "Categorify", "columns": ["item_id"], "as": ["item"]}], "outputs": ["user", "item"]}, runtime)
    return workflow, workflow.fit_transform(events)


def train(kind, prepared, runtime, **spec):
    workflow, data = prepared
    return gyr.Trainer({"version": 1, "kind": kind, **spec}, workflow, runtime).fit(data).export()


def test_popularity_against_numpy(prepared, runtime):
    model = train("popularity", prepared, runtime, user="user", item="item")
    counts = np.bincount(prepared[1]["item"].to_numpy())
    order = np.lexsort((np.arange(len(counts)), -counts))
    found, scores = model.recommend([[], [int(order[0]), int(order[2])]], 5)
    assert found[0].tolist() == order[:5].tolist()
    assert found[1].tolist() == [code for code in order if code not in (order[0], order[2])][:5]
    assert (np.diff(scores) <= 0).all()
    kept, _ = model.recommend([[int(order[0])]], 5, exclude=[[]])
    assert kept[0].tolist() == order[:5].tolist()
    with pytest.raises(ValueError, match="expected 1 lists"):
        model.recommend([[3]], 5, exclude=[[], []])


@pytest.mark.parametrize("kind,spec", [("item_knn", {}), ("ials", {"dim": 8, "epochs": 5})])
def test_histories_find_their_taste(kind, spec, prepared, runtime, tmp_path):
    workflow, data = prepared
    model = train(kind, prepared, runtime, user="user", item="item", **spec)
    even = [workflow.transform({"user_id": [0], "item_id": [item]})["item"][0].as_py() for item in (2, 4, 6)]
    found, scores = model.recommend([even], 5)
    assert all(workflow.decode("item", code) % 2 == 0 for code in found[0].tolist())
    model.save(tmp_path / "model.gyr")
    again, same = gyr.Model.open(tmp_path / "model.gyr", runtime).recommend([even], 5)
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(scores, same)
    assert model.describe()["kind"] == kind


def test_two_tower_encodes_both_sides(prepared, runtime):
    workflow, data = prepared
    trainer = gyr.Trainer({"version": 1, "kind": "two_tower", "dim": 8, "epochs": 3, "item": "item"}, workflow, runtime)
    trainer.fit(data)
    assert [entry["epoch"] for entry in trainer.history] == [1, 2, 3]
    assert trainer.history[-1]["loss"] < trainer.history[0]["loss"]
    model = trainer.export()
    users, items = model.encode("user", data.select(["user"])), model.encode("item", data.select(["item"]))
    assert users.shape == items.shape == (data.num_rows, 8) and np.isfinite(users).all()
    scores = model.predict(data)
    assert np.corrcoef(scores, (users * items).sum(1))[0, 1] > 0.999


def test_failures(prepared, runtime):
    workflow, data = prepared
    with pytest.raises(gyr.Error, match="kind"):
        gyr.Trainer({"version": 1, "kind": "oracle"}, workflow, runtime)
    trainer = gyr.Trainer({"version": 1, "kind": "two_tower", "item": "item"}, workflow.schema, runtime)
    with pytest.raises(gyr.Error) as caught:
        trainer.export()
    assert caught.value.status == "GYR_E_INVALID_STATE"
    task = gyr.Task()
    task.cancel()
    with pytest.raises(gyr.Error) as caught:
        trainer.fit(data, task)
    assert caught.value.status == "GYR_E_CANCELLED"
    with pytest.raises(TypeError, match="Trainer.export"):
        gyr.Model()
