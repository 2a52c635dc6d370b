"""The rows of the leaderboard: each result once, folds and seeds together, no failed runs."""

from statistics import stdev

import fetch
from retrieval.experiments.rows import SOURCE, Row, rows

import pytest


def metrics(value):
    return {"map@10": value, "novelty@10": 1.0}


def state(name, metrics, error=None, fold=0, seed=42, split=None, raw="a", **params):
    """A revision in the output of `dvc exp show --json`; raw: the hash of its data."""
    data = {
        "outs": {"data/raw": {"hash": f"{raw}.dir"}},
        "metrics": {"metrics/index.json": {"data": {"exact": 1.0}}, "metrics/metrics.json": {"data": metrics}},
        "params": {"params.yaml": {"data": params | {"split": (split or {}) | {"fold": fold}, "seed": seed}}},
    }
    return {"rev": name, "name": name, "data": data, "error": error, "experiments": None}


def revisions(*experiments):
    base = {"dssm": metrics(0.2), "popular": metrics(0.1)}
    main = state("main", base, loss="softmax", train={"epochs": 3})
    listed = [{"revs": [each]} for each in experiments]
    return [state("workspace", base, loss="softmax", train={"epochs": 3}), main | {"experiments": listed}]


def everything(model, names):
    """Every model reads all parameters."""
    return names


def test_each_result_is_one_row_with_the_parameters_that_differ_and_failed_runs_have_none():
    bpr = {"dssm": metrics(0.3), "popular": metrics(0.1)}
    finished = revisions(
        state("bpr", bpr, loss="bpr", train={"epochs": 9}),
        state("broken", {"dssm": metrics(0.9)}, error={"msg": "failed"}, loss="ccl", train={"epochs": 3}),
        {"rev": "queued", "name": "queued", "data": None, "error": None},
    )
    running = {"rev": "other", "name": "running", "data": None, "experiments": [{"revs": None, "name": "running"}]}
    assert rows([*finished, running], everything) == [
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
    [row] = [row for row in rows(revisions(*experiments, test), everything) if row.params]
    assert row.params == {"loss": "bpr"}
    assert row.folds == (1, 2)
    assert row.test == metrics(0.25)
    assert row.validation["map@10"] == pytest.approx((0.4 + 0.45) / 2)
    assert row.deviation["map@10"] == pytest.approx(stdev([0.2, 0.5]))


def test_the_commits_own_parameters_on_other_folds_are_its_row():
    fold = state("fold", {"dssm": metrics(0.4)}, fold=1, loss="softmax", train={"epochs": 3})
    table = rows(revisions(fold), everything)
    dssm = next(row for row in table if row.model == "dssm")
    assert (dssm.experiment, dssm.test, dssm.validation, dssm.folds) == ("main", metrics(0.2), metrics(0.4), (1,))


def test_a_row_has_no_parameter_that_its_model_does_not_read():
    """A system from elsewhere has its first result in an experiment of another loss."""
    bpr = {"dssm": metrics(0.3), "elsewhere": metrics(0.4)}
    experiment = state("bpr", bpr, loss="bpr", train={"epochs": 3}, old=1)
    read = {"dssm": ["loss", "train.epochs"], "popular": [], "elsewhere": ["train.epochs"]}
    found = {row.model: row.params for row in rows(revisions(experiment), lambda model, names: read[model])}
    assert found["elsewhere"] == {"old": 1}, "what the commit does not know, nobody can tell"
    assert found["dssm"] == {"loss": "bpr", "old": 1}


def tables(*experiments, workspace):
    """Experiment -> number of the table of its DSSM, and what that is on."""
    main, listed = state("main", {"dssm": metrics(0.2)}, data="kion"), [{"revs": [each]} for each in experiments]
    found = rows([workspace, main | {"experiments": listed}], everything)
    return {row.experiment: (row.table, row.data, row.params) for row in found}


def test_results_on_other_data_are_in_another_table_and_those_of_the_work_tree_in_the_first():
    workspace = state("workspace", {"dssm": metrics(0.9)}, data="folder", folder="mine", loss="bpr", raw="b")
    fold = state("fold", {"dssm": metrics(0.8)}, data="folder", folder="mine", loss="ccl", raw="b", fold=1)
    grown = state("grown", {"dssm": metrics(0.7)}, data="folder", folder="mine", raw="c")
    mine = {"data": "folder", "folder": "mine"}
    assert tables(fold, grown, workspace=workspace) == {
        "workspace": (0, mine, {"loss": "bpr"}),
        "fold": (0, mine, {"loss": "ccl"}),
        "main": (1, {"data": "kion"}, {}),
        "grown": (2, mine, {}),
    }


def test_results_on_another_test_of_the_same_data_are_in_another_table():
    """What is filtered from train, and its weights, are a choice; a work tree that has not run has no row."""
    workspace = state("workspace", {"dssm": metrics(0.2)}, data="kion", split={"days": 30})
    days = state("days", {"dssm": metrics(0.9)}, data="kion", split={"days": 14})
    events = state("events", {"dssm": metrics(0.8)}, data="kion", positives={"events": ["buy"]})
    train = state("train", {"dssm": metrics(0.7)}, data="kion", positives={"weight": "value"}, filter={"enabled": True})
    found = tables(days, events, train, workspace=workspace)
    assert len({found[name][0] for name in ("main", "days", "events")}) == 3
    assert found["train"] == (found["main"][0], {"data": "kion"}, {"positives.weight": "value", "filter.enabled": True})
    assert found["days"][1:] == ({"data": "kion", "split.days": 14}, {})
    assert "workspace" not in found


def test_seeds_of_synthetic_data_are_one_row_and_another_size_of_them_is_another_table():
    values = {"data": "kion-synthetic", "synthetic": {"scale": 0.1}}
    seeds = [state(f"{n}", {"dssm": metrics(n / 100)}, fold=1, seed=n, raw=f"{n}", **values) for n in (7, 8)]
    large = state("large", {"dssm": metrics(0.7)}, data="kion-synthetic", synthetic={"scale": 1.0})
    found = tables(*seeds, large, workspace=state("workspace", {"dssm": metrics(0.2)}, data="kion"))
    assert found["7"] == (1, {"data": "kion-synthetic", "synthetic.scale": 0.1}, {})
    assert "8" not in found
    assert found["large"][0] == 2


def test_what_names_the_data_is_what_the_stage_fetch_reads():
    assert {*SOURCE, "seed"} == set(fetch.FetchParams.model_fields)
