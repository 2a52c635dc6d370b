"""What `make repro` prints: DVC's progress without its hints, the results and the next steps."""

import json
import re
from pathlib import Path

from retrieval.experiments.pipeline import NEXT, table

from repositories import metrics, python, set_params, stages_run

COMMAND = ("-m", "retrieval.experiments.pipeline")
TARGETS = re.search(r"^\.PHONY: (.+)$", (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8"), re.M)[1]


def test_the_table_has_the_metrics_of_the_readme_and_the_best_model_first(tmp_path):
    path = tmp_path / "metrics.json"
    values = {"recall@5": 0.5, "map@5": 0.1, "ndcg@5": 0.2, "novelty@5": 3.0, "coverage@5": 1.0, "users": 7}
    path.write_text(json.dumps({"popular": values, "dssm": values | {"map@5": 0.25}}))
    header, _, *rows = (line.split() for line in table(path).splitlines())
    assert header == ["model", "map@5", "ndcg@5", "recall@5", "novelty@5", "coverage@5"]
    assert rows == [
        ["dssm", "0.2500", "0.2000", "0.5000", "3.0000", "1.0000"],
        ["popular", "0.1000", "0.2000", "0.5000", "3.0000", "1.0000"],
    ]


def test_the_targets_of_the_next_steps_exist():
    steps = re.findall(r"make ([a-z-]+)", NEXT)
    assert steps
    assert set(steps) <= set(TARGETS.split())


def test_a_run_ends_with_the_table_and_the_next_steps_without_hints_of_dvc(project):
    set_params(project, {"evaluate.resamples": 40})
    output = python(project, *COMMAND).stdout
    assert stages_run(output)[-1] == "evaluate"
    assert output.endswith(f"\n\n{table(project / 'metrics' / 'metrics.json')}\n\n{NEXT}")
    assert all(model in output for model in metrics(project))
    assert not re.search("dvc push|autostage|git add", output)
    again = python(project, *COMMAND).stdout
    assert stages_run(again) == []
    assert again.endswith(NEXT)


def test_a_stage_that_fails_is_two_lines_its_own_and_that_of_dvc(project):
    set_params(project, {"loss": "bp"})
    process = python(project, *COMMAND, code=1)
    stage, dvc = process.stderr.splitlines()
    assert stage.startswith("check: params.yaml: loss: 'bp' is not valid")
    assert dvc == (
        "dvc repro: failed to reproduce 'check': failed to run: python src/check.py data/checked, exited with 1"
    )
    assert NEXT not in process.stdout
