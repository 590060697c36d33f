import numpy as np
import pytest

import gyr

HOUR = 3_600_000_000


def test_drift_and_labels(runtime):
    random = np.random.default_rng(1)
    monitor = gyr.Monitor({"features": [{"name": "age", "kind": "numeric", "bins": 10}], "window": 200, "min_labels": 100,
                           "label_delay_seconds": 3600, "thresholds": {"auc": 0.6, "psi": 0.2, "js": 0.06}}, runtime)
    monitor.set_baseline({"age": random.normal(40, 5, 2000)})
    monitor.observe({"age": random.normal(40, 5, 2000)})
    assert monitor.report(now=0)["retrain"]["wanted"] is False
    monitor.observe({"age": random.normal(70, 5, 20000)})
    report = monitor.report(now=0)
    assert report["retrain"]["wanted"] is True and "age" in " ".join(report["retrain"]["why"])
    for request in range(100):
        monitor.served(request, [1, 2], [0.9, 0.1], time=request)
        monitor.label(request, 1, True, time=request + 1)
    monitor.count("clicks", 3)
    report = monitor.report(now=2 * HOUR)
    assert report["auc"] == pytest.approx(1.0) and report["counters"]["clicks"] == 3
    with pytest.raises(gyr.Error) as caught:
        monitor.label(10**6, 1, True, time=1)
    assert caught.value.status == "GYR_E_NOT_FOUND"
    with pytest.raises(ValueError, match="equal"):
        monitor.served(1, [1, 2], [0.5])
