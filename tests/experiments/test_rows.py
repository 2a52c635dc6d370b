"""The rows of the leaderboard: each result once, folds and seeds together, no failed runs."""

from statistics import stdev

from retrieval.experiments.rows import Row, rows

import pytest


def metrics(value):
    return {"map@10": value, "novelty@10": 1.0}


def state(name, metrics, error=None, fold=0, seed=42, **params):
    """A revision in the output of `dvc exp show --json`."""
    data = {
        "metrics": {"metrics/index.json": {"data": {"exact": 1.0}}, "metrics/metrics.json": {"data": metrics}},
        "params": {"params.yaml": {"data": params | {"split": {"fold": fold}, "seed": seed}}},
    }
    return {"rev": name, "name": name, "data": data, "error": error, "experiments": None}


def revisions(*experiments):
    base = {"dssm": metrics(0.2), "popular": metrics(0.1)}
    main = state("main", base, loss="softmax", train={"epochs": 3})
    listed = [{"revs": [each]} for each in experiments]
    return [state("workspace", base, loss="softmax", train={"epochs": 3}), main | {"experiments": listed}]


def test_each_result_is_one_row_with_the_parameters_that_differ_and_failed_runs_have_none():
    bpr = {"dssm": metrics(0.3), "popular": metrics(0.1)}
    finished = revisions(
        state("bpr", bpr, loss="bpr", train={"epochs": 9}),
        state("broken", {"dssm": metrics(0.9)}, error={"msg": "failed"}, loss="ccl", train={"epochs": 3}),
        {"rev": "queued", "name": "queued", "data": None, "error": None},
    )
    running = {"rev": "other", "name": "running", "data": None, "experiments": [{"revs": None, "name": "running"}]}
    assert rows([*finished, running]) == [
        Row("main", "dssm", test=metrics(0.2)),
        Row("main", "popular", test=metrics(0.1)),
        Row("bpr", "dssm", {"loss": "bpr", "train.epochs": 9}, metrics(0.3)),
    ]


def test_folds_and_seeds_are_one_row():
    """The seeds have the means 0.2 and 0.5 over folds 1 and 2; seed 44 has one fold only, which counts in its mean."""
    values = {(1, 42): 0.1, (2, 42): 0.3, (1, 43): 0.4, (2, 43): 0.6, (1, 44): 0.7}
    experiments = [
        state(f"{fold}-{seed}", {"dssm": metrics(value)}, fold=fold, seed=seed, loss="bpr", train={"epochs": 3})
        for (fold, seed), value in values.items()
    ]
    test = state("test", {"dssm": metrics(0.25)}, loss="bpr", train={"epochs": 3})
    [row] = [row for row in rows(revisions(*experiments, test)) if row.params]
    assert row.params == {"loss": "bpr"}
    assert row.folds == (1, 2)
    assert row.test == metrics(0.25)
    assert row.validation["map@10"] == pytest.approx((0.4 + 0.45) / 2)
    assert row.deviation["map@10"] == pytest.approx(stdev([0.2, 0.5]))


def test_the_commits_own_parameters_on_other_folds_are_its_row():
    table = rows(revisions(state("fold", {"dssm": metrics(0.4)}, fold=1, loss="softmax", train={"epochs": 3})))
    dssm = next(row for row in table if row.model == "dssm")
    assert (dssm.experiment, dssm.test, dssm.validation, dssm.folds) == ("main", metrics(0.2), metrics(0.4), (1,))
