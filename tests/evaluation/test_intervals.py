"""Bootstrap intervals, compared with a slow twin and with the normal distribution."""

from retrieval.evaluation.intervals import bootstrap, intervals
from retrieval.stage import rounded

import numpy as np
import pytest


def test_a_resample_is_the_mean_over_users_drawn_with_replacement() -> None:
    values = np.random.default_rng(1).random((7, 3))
    rng = np.random.default_rng(5)
    expected = [values[rng.integers(0, 7, (32, 7))].mean(axis=1), values[rng.integers(0, 7, (8, 7))].mean(axis=1)]
    np.testing.assert_allclose(bootstrap(values, 40, np.random.default_rng(5)), np.concatenate(expected), atol=2**-31)


def test_interval_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(2).normal(3, 2, 4000)
    models = {"own": {"map@10": values}}
    bar = intervals(models, "own", 2000, np.random.default_rng(0))["means"]["own"]["map@10"]
    error = 1.96 * values.std() / np.sqrt(4000)  # half the width, about 0.062
    assert bar["mean"] == rounded(values.mean())
    assert bar["low"] == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert bar["high"] == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_differences_are_paired() -> None:
    """Own is better by 0.01 for every user: far less than users differ, and still certain."""
    other = np.random.default_rng(3).random(50)
    models = {"own": {"map@10": other + 0.01, "coverage@10": np.array(0.5)}, "other": {"map@10": other}}
    models["other"]["coverage@10"] = np.array(0.2)
    bars = intervals(models, "own", 200, np.random.default_rng(0))
    assert bars["differences"] == {"other": {"map@10": {"mean": 0.01, "low": 0.01, "high": 0.01}}}
    assert list(bars["means"]) == ["own", "other"]
    width = bars["means"]["own"]["map@10"]["high"] - bars["means"]["own"]["map@10"]["low"]
    assert width > 0.1  # 2 * 1.96 * sqrt(1 / 12 / 50) is 0.16


def test_equal_seed_equal_intervals() -> None:
    models = {"own": {"map@10": np.random.default_rng(4).random(30)}}
    first, second, third = (intervals(models, "own", 100, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != third
