"""The whole pipeline with the real DVC, on a small world with planted tastes."""

import json
import math
import re
from pathlib import Path

from retrieval.params import load

import pytest
from repositories import ROOT, dvc, files, metrics, repository, run, set_params, stages_run

MODELS = set(load(ROOT / "params.yaml")["models"])
EVALUATIONS = [f"evaluate_{name}" for name in (*MODELS, "external")]
RESULTS = ("models", "metrics", "plots")
STAGES_AFTER_THE_TOWERS = {"evaluate_dssm", "index_dssm", "evaluate", "maps"}


def results(root: Path) -> dict[str, bytes]:
    """Path -> bytes of weights, metrics and plots, without run cards: they contain the running time."""
    return {name: data for name, data in files(root, *RESULTS).items() if not name.endswith(".run.json")}


def test_every_model_has_finite_metrics_and_the_dssm_is_above_what_is_popular_now(finished):
    """MAP@10 is 1.229 times that of popular_7d, NDCG@10 1.121 times, mostly by the trend: users are few."""
    table = metrics(finished)
    assert set(table) == MODELS
    assert all(math.isfinite(value) for row in table.values() for value in row.values())
    assert table["dssm"]["map@10"] > 1.22 * table["popular_7d"]["map@10"]
    assert table["dssm"]["ndcg@10"] > 1.07 * table["popular_7d"]["ndcg@10"]


def test_a_second_run_runs_no_stage_and_leaves_the_work_tree_alone(project):
    assert stages_run(dvc(project, "repro")) == []
    assert run(project, "git", "status", "--porcelain").stdout == ""


def test_a_clone_with_the_same_seed_ends_in_the_same_bytes(finished, tmp_path):
    twin = repository(tmp_path / "twin")
    dvc(twin, "repro")
    assert results(twin) == results(finished)
    lock = [(root / "dvc.lock").read_text(encoding="utf-8") for root in (twin, finished)]
    assert lock[0] == lock[1]


def test_an_edited_file_runs_only_the_stages_that_use_it(project):
    """A loss is of the training alone, and its comment changes no model, so that nothing after it runs."""
    for file, stages in (
        ("training/losses.py", ["train_dssm"]),
        ("drawing/pictures.py", ["evaluate", "maps"]),
        ("evaluation/groups.py", EVALUATIONS),
    ):
        with (project / "src" / "retrieval" / file).open("a", encoding="utf-8") as source:
            source.write("# edited\n")
        assert sorted(stages_run(dvc(project, "repro"))) == sorted(["check", *stages])


def test_an_experiment_runs_only_what_its_parameters_change_and_the_way_back_is_in_the_run_cache(project):
    before = results(project)
    output = dvc(project, "exp", "run", "--set-param", "loss=bpr")
    assert stages_run(output)[:2] == ["check", "train_dssm"]
    assert set(stages_run(output)[2:]) == STAGES_AFTER_THE_TOWERS
    changes = {name for name, data in results(project).items() if before[name] != data}
    assert {"metrics/metrics.json", "models/dssm/towers.safetensors", "plots/loss.json"} <= changes
    from_the_towers = ("models/dssm/", "models/indexes/dssm/")
    assert not [name for name in changes if name.startswith("models/") and not name.startswith(from_the_towers)]
    output = dvc(project, "exp", "run", "--set-param", "loss=softmax")
    assert stages_run(output) == ["check", "evaluate"], "which has no run cache"
    assert "Stage 'train_dssm' is cached" in output
    assert results(project) == before
    assert run(project, "git", "status", "--porcelain").stdout == ""


def test_a_change_of_a_baseline_touches_nothing_else(project):
    before = results(project)
    output = dvc(project, "exp", "run", "--set-param", "baselines.ease.regularization=7.0")
    assert stages_run(output) == ["check", "train_ease", "evaluate_ease", "evaluate"]
    changes = {name for name, data in results(project).items() if before[name] != data}
    assert {name for name in changes if name.startswith("models/")} <= {
        f"models/ease/{name}" for name in ("card.json", "right.npy")
    }
    old = json.loads(before["metrics/metrics.json"])
    assert {model for model, row in metrics(project).items() if row != old[model]} == {"ease"}


def test_the_table_of_dvc_is_readable(experimented):
    """The summary is all that DVC calls metrics, so that its table fits into 120 columns."""
    names = ("map@10", "ndcg@10", "novelty@10")
    shown = json.loads(run(experimented, "dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert set(shown) == {"metrics/summary.json"}
    table = metrics(experimented)
    assert shown["metrics/summary.json"]["data"] == {
        model: {name: table[model][name] for name in names} for model in MODELS
    }
    columns = ("env", "COLUMNS=120", "dvc", "exp", "show", "--only-changed", "--no-pager")
    text = run(experimented, *columns).stdout
    assert all(f"dssm.{name}" in text for name in names)
    assert re.search(r"\bloss\b", text)
    assert max(map(len, text.splitlines())) <= 120


def test_a_model_can_be_downloaded_by_its_name(project, tmp_path):
    run(project, "git", "tag", "--annotate", "ease@v1.0.0", "--message", "The first version")
    dvc(tmp_path, "artifacts", "get", str(project), "ease", "--out", str(tmp_path / "ease"))
    assert files(tmp_path, "ease") == {
        name.removeprefix("models/"): data for name, data in files(project, "models/ease").items()
    }


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            "loss=bp",
            "check: params.yaml: loss: 'bp' is not valid: expected one of triplet, triplet_semihard, bpr, softmax, "
            "sampled_softmax, ccl, gbce; did you mean 'bpr'?",
        ),
        (
            "data=folder",
            "check: data/folder: no data files; data=folder expects interactions.csv (or .parquet, ...) and optionally "
            "items.csv and users.csv: set folder=PATH to the folder with your files",
        ),
    ],
)
def test_an_experiment_with_a_wrong_value_is_refused_before_anything_is_deleted(project, change, line):
    before = files(project, *RESULTS, "data")
    output = dvc(project, "exp", "run", "--set-param", change, code=255)
    assert refusals(output) == [line]
    assert files(project, *RESULTS, "data") == before


def test_a_run_with_wrong_parameters_is_refused_before_anything_is_deleted(project):
    before = files(project, *RESULTS, "data")
    set_params(project, {"train.epochs": "many", "score": "cosine", "loss": "triplet"})
    output = dvc(project, "repro", code=255)
    assert refusals(output) == ["check: params.yaml: train.epochs: 'many' is text, expected a number"]
    assert files(project, *RESULTS, "data") == before


def refusals(output: str) -> list[str]:
    """The error lines of the stage check, which is the only stage that ran."""
    assert stages_run(output) == ["check"]
    assert "Traceback" not in output
    return [line for line in output.splitlines() if line.startswith("check: ")]


@pytest.mark.slow
def test_queued_and_temporary_experiments_leave_the_work_tree_alone(project):
    before = results(project)
    dvc(project, "exp", "run", "--queue", "-S", "loss=bpr,ccl")
    dvc(project, "exp", "run", "--run-all", "--jobs", "2")
    dvc(project, "exp", "run", "--temp", "-S", "train.epochs=1")
    assert dvc(project, "exp", "list", "--name-only").count("\n") == 3
    assert results(project) == before
    assert run(project, "git", "status", "--porcelain").stdout == ""
    output = dvc(project, "exp", "run", "-S", "loss=ccl")
    assert stages_run(output) == ["check", "evaluate"], "the others from the run cache"
