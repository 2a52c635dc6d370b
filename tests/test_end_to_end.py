"""The whole pipeline with the real DVC, on a small world with planted tastes."""

import math
from pathlib import Path

import pytest
from repositories import dvc, files, metrics, repository, run, set_params, stages_run

MODELS = {"dssm", "lightfm", "ease", "ials", "itemknn", "userknn", "popular", "popular_7d"}
RESULTS = ("models", "metrics", "plots")
STAGES_AFTER_THE_TOWERS = {"evaluate", "index"}


def results(root: Path) -> dict[str, bytes]:
    """Path -> bytes of weights, metrics and plots, without run cards: they contain the running time."""
    return {name: data for name, data in files(root, *RESULTS).items() if not name.endswith(".run.json")}


def test_every_model_has_finite_metrics_and_the_towers_find_the_planted_taste(finished):
    table = metrics(finished)
    assert set(table) == MODELS
    assert all(math.isfinite(value) for row in table.values() for value in row.values())
    assert table["dssm"]["map@10"] > 1.5 * table["popular"]["map@10"]
    assert table["dssm"]["ndcg@10"] > 1.5 * table["popular"]["ndcg@10"]


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
    for file, stages in (("training/losses.py", ["train_dssm"]), ("dssm/newcomer.py", ["evaluate", "index"])):
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
    from_the_towers = ("models/dssm/", "models/catalogue/indexes/dssm/")
    assert not [name for name in changes if name.startswith("models/") and not name.startswith(from_the_towers)]
    output = dvc(project, "exp", "run", "--set-param", "loss=softmax")
    assert stages_run(output) == ["check"]
    assert "Stage 'train_dssm' is cached" in output
    assert results(project) == before


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
    assert stages_run(output) == ["check"], "from the run cache"
