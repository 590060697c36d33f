"""A small bundle from end to end: original ids in and out, both id types, publish and rollback."""
import threading

import numpy as np
import pytest

import gyr

ITEMS, USERS = 30, 12
STAGES = [{"stage": "features", "side": "user", "table": "users"}, {"stage": "encode", "workflow": "features", "model": "retrieval"},
          {"stage": "retrieve", "index": "items", "k": 20}, {"stage": "filter", "seen": "seen"},
          {"stage": "order", "k": 5, "by": "retrieval_score"}]


def make(runtime, path, seed, string_ids=False):
    """Writes a bundle; returns (item vectors by position, user vectors by user)."""
    random = np.random.default_rng(seed)
    events = {"user_id": random.integers(0, USERS, 3000), "item_id": random.integers(0, ITEMS, 3000)}
    workflow = gyr.Workflow({"version": 1, "inputs": [
        {"name": "user_id", "dtype": "int64", "tags": ["user_id"]}, {"name": "item_id", "dtype": "int64", "tags": ["item_id"]}],
        "ops": [{"op": "Categorify", "columns": ["user_id"], "as": ["user"]},
                {"op": "Categorify", "columns": ["item_id"], "as": ["item"]}], "outputs": ["user", "item"]}, runtime)
    trainer = gyr.Trainer({"version": 1, "kind": "two_tower", "dim": 8, "epochs": 1, "item": "item", "seed": seed},
                          workflow.fit(events), runtime)
    model = trainer.fit(workflow.transform(events)).export()
    vectors = model.encode("item", workflow.transform({"item_id": np.arange(ITEMS)}))
    users = model.encode("user", workflow.transform({"user_id": np.arange(USERS)}))
    index = gyr.Index(8, kind="exact", runtime=runtime)
    index.upsert(np.arange(ITEMS), vectors)
    table = gyr.Table({"name": "users", "key": "user_id", "key_dtype": "int64", "event_time": "ts",
                       "columns": [{"name": "seen", "dtype": "string" if string_ids else "int64", "list": True}]}, runtime)
    names = [f"film-{n}" for n in range(ITEMS)]
    for user in range(USERS):
        table.upsert_row(user, 1, seen=[names[3], names[user]] if string_ids else [3, user])
    builder = gyr.BundleBuilder(runtime)
    for name, component in (("features", workflow), ("retrieval", model), ("items", index), ("users", table)):
        builder.add(name, component)
    stages = [dict(stage) for stage in STAGES]
    if string_ids:
        builder.add_ids("names", names)
        stages[2]["ids"] = "names"
    builder.set_pipeline({"version": 1, "stages": stages}).set_metadata({"seed": seed}).save(path)
    return vectors, users


@pytest.mark.parametrize("string_ids", [False, True])
def test_recommend_against_numpy(string_ids, tmp_path, runtime):
    vectors, users = make(runtime, tmp_path / "a.gyr", 1, string_ids)
    bundle = gyr.Bundle.open(tmp_path / "a.gyr", runtime)
    answer = bundle.recommend(np.arange(USERS))
    assert answer.generation == 1 and [stage.name for stage in answer.trace][0].startswith("features")
    assert (answer.user_status == gyr.PRESENT).all() and (answer.counts == 5).all()
    for user in range(USERS):
        scores = vectors.astype(np.float64) @ users[user]
        scores[[3, user]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:5]
        ids = [f"film-{n}" for n in best] if string_ids else best.tolist()
        assert answer.ids[user].tolist() == ids
        np.testing.assert_allclose(answer.scores[user], scores[best], rtol=1e-4, atol=1e-5)
    assert len(bundle.recommend(0, k=2).items()) == 2
    assert bundle.recommend([999]).user_status[0] == gyr.MISSING
    wide = bundle.recommend(0, k=6)  # more room than the order stage's k stays empty
    assert wide.counts[0] == 5 and len(wide.items()) == 5
    with pytest.raises(gyr.Error) as caught:
        bundle.recommend(0, k=70000)
    assert caught.value.status == "GYR_E_OUT_OF_RANGE"
    assert bundle.describe()["metadata"] == {"seed": 1} and "gyr" in bundle.metrics()


def test_publish_under_load_and_rollback(tmp_path, runtime):
    for seed in (1, 2):
        make(runtime, tmp_path / f"{seed}.gyr", seed)
    bundle = gyr.Bundle.open(tmp_path / "1.gyr", runtime)
    known, failures, stop = {1: bundle.recommend(4).ids.tolist()}, [], threading.Event()
    answers = []

    def serve():
        while not stop.is_set():
            try:
                answer = bundle.recommend(4)
                answers.append((answer.generation, answer.ids.tolist()))
            except Exception as error:
                failures.append(error)
    threads = [threading.Thread(target=serve) for _ in range(3)]
    [thread.start() for thread in threads]
    try:
        assert bundle.publish(tmp_path / "2.gyr") == 2
        known[2] = bundle.recommend(4).ids.tolist()
        assert bundle.rollback() == 1
    finally:
        stop.set()
        [thread.join() for thread in threads]
    assert not failures and bundle.recommend(4).ids.tolist() == known[1]
    assert all(known[generation] == ids for generation, ids in answers)
    with pytest.raises(gyr.Error):
        bundle.publish(tmp_path / "nothing.gyr")
    assert bundle.recommend(4).generation == 1


def test_live_parts(tmp_path, runtime):
    make(runtime, tmp_path / "a.gyr", 1)
    bundle = gyr.Bundle.open(tmp_path / "a.gyr", runtime)
    first = bundle.recommend(4).ids[0].tolist()
    bundle.table("users").upsert_row(4, 2, seen=first)
    assert not set(bundle.recommend(4).ids[0].tolist()) & set(first)
    assert len(bundle.index("items")) == ITEMS and bundle.model("retrieval").describe()["kind"] == "two_tower"
    assert bundle.workflow("features").transform_row({"user_id": 4})["user"] > 2
    with pytest.raises(gyr.Error) as caught:
        bundle.table("nothing")
    assert caught.value.status == "GYR_E_NOT_FOUND"


def test_what_cannot_be_bundled(tmp_path, runtime):
    builder = gyr.BundleBuilder(runtime)
    with pytest.raises(TypeError, match="expected Workflow"):
        builder.add("x", runtime)
    with pytest.raises(gyr.Error):
        builder.set_pipeline("{").save(tmp_path / "x.gyr")
    assert not (tmp_path / "x.gyr").exists()
    with pytest.raises(gyr.Error):
        gyr.Bundle.open(tmp_path / "x.gyr", runtime)
