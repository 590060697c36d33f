"""Metrics against scikit-learn and against plain Python."""
import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, ndcg_score, roc_auc_score

import gyr
from gyr import metrics


@pytest.mark.parametrize("seed", range(5))
def test_binary_against_scikit_learn(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 500)
    scores = np.clip(random.random(500) * 0.6 + labels * 0.2, 1e-6, 1 - 1e-6).round(2 + seed % 3).astype(np.float32)
    scores = np.clip(scores, 0.001, 0.999)
    found = metrics.binary(scores, labels)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["logloss"] == pytest.approx(log_loss(labels, scores.astype(np.float64)), rel=1e-9)


def test_binary_with_one_class_and_bad_input():
    assert math.isnan(metrics.binary([0.1, 0.2], [1, 1])["auc"])
    with pytest.raises(ValueError, match="0 or 1"):
        metrics.binary([0.1, 0.2], [0, 2])
    with pytest.raises(ValueError, match="equal"):
        metrics.binary([0.1, 0.2], [0])
    with pytest.raises(gyr.Error):
        metrics.binary([float("nan"), 0.2], [0, 1])
    with pytest.raises(gyr.Error):
        metrics.binary([], [])


def lists(seed, n=200, k=10, items=40):
    random = np.random.default_rng(seed)
    recommended = np.stack([random.permutation(items)[:k] for _ in range(n)])
    relevant = [random.permutation(items)[:random.integers(0, 15)] for _ in range(n)]
    return recommended, relevant


@pytest.mark.parametrize("seed", range(3))
def test_ranking_against_plain_python(seed):
    k = 10
    recommended, relevant = lists(seed, k=k)
    want = {name: [] for name in ("recall", "recall_capped", "precision", "ndcg", "mrr", "map", "hit_rate")}
    for row, truth in zip(recommended, relevant):
        hits = [item in set(truth.tolist()) for item in row.tolist()]
        size, best = len(truth), min(len(truth), k)
        ideal = sum(1 / math.log2(rank + 2) for rank in range(best))
        gain = sum(hit / math.log2(rank + 2) for rank, hit in enumerate(hits))
        precision_sum = sum(sum(hits[:rank + 1]) / (rank + 1) for rank in range(k) if hits[rank])
        want["recall"].append(sum(hits) / size if size else 0)
        want["recall_capped"].append(sum(hits) / best if size else 0)
        want["precision"].append(sum(hits) / k)
        want["ndcg"].append(gain / ideal if size else 0)
        want["mrr"].append(1 / (hits.index(True) + 1) if any(hits) else 0)
        want["map"].append(precision_sum / best if size else 0)
        want["hit_rate"].append(float(any(hits)))
    found = metrics.ranking(recommended, relevant)
    for name, values in want.items():
        assert found[name] == pytest.approx(np.mean(values), abs=1e-12), name
    np.testing.assert_allclose(found["per_list_ndcg"], want["ndcg"], atol=1e-12)
    np.testing.assert_allclose(found["per_list_recall"], want["recall"], atol=1e-12)


def test_ndcg_against_scikit_learn():
    items, k = 40, 10
    recommended, relevant = lists(7, k=k, items=items)
    kept = [position for position, truth in enumerate(relevant) if len(truth)]
    truth, scores = np.zeros((len(kept), items)), np.zeros((len(kept), items))
    for row, position in enumerate(kept):
        truth[row, relevant[position]] = 1
        scores[row, recommended[position]] = np.arange(k, 0, -1)
    found = metrics.ranking(recommended[kept], [relevant[position] for position in kept])
    assert found["ndcg"] == pytest.approx(ndcg_score(truth, scores, k=k), abs=1e-12)


def test_ragged_lists_count_as_given():
    arrays = metrics.ranking(np.array([[1, 2, 3], [4, 5, 6]]), [[1], [9]], counts=[1, 3])
    ragged = metrics.ranking([[1], [4, 5, 6]], (np.array([1, 9]), np.array([0, 1, 2])), k=3)
    assert arrays["recall"] == ragged["recall"] == 0.5
    assert ragged["precision"] == pytest.approx(1 / 6)
    with pytest.raises(ValueError, match="expected 2 relevant lists"):
        metrics.ranking([[1], [2]], [[1]], k=1)


def test_bootstrap_covers_the_mean_and_repeats():
    values = np.random.default_rng(3).normal(2.0, 1.0, 400)
    low, high = metrics.bootstrap(values, resamples=2000, seed=5)
    assert low < values.mean() < high
    assert (low, high) == metrics.bootstrap(values, resamples=2000, seed=5)
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))  # the normal interval, a close neighbour
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
