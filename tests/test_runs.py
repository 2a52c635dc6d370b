"""Run cards: what a model was made by."""

import json
from pathlib import Path

from retrieval.runs import digest

from repositories import run, set_params


def test_a_run_card_says_what_made_the_model(project):
    card = json.loads((project / "models" / "dssm.run.json").read_text(encoding="utf-8"))
    assert card["git"] == {"revision": run(project, "git", "rev-parse", "HEAD~1").stdout.strip(), "changed": []}
    assert card["params"]["loss"] == "softmax"
    assert set(card["data"]) == {"data/features"}
    assert {"torch", "dvc", "numpy"} <= set(card["packages"])
    assert set(card["libraries"].values()) == {1}
    assert card["threads"] == 1
    assert card["cpu"]
    assert card["seconds"] > 0
    assert card["history"] == json.loads((project / "models" / "dssm" / "history.json").read_text(encoding="utf-8"))
    assert card["warnings"] == []
    set_params(project, {"train.epochs": 1})
    run(project, "python", "src/train_dssm.py", "data/features", "models/dssm", "models/dssm.run.json")
    again = json.loads((project / "models" / "dssm.run.json").read_text(encoding="utf-8"))
    assert again["git"]["changed"] == ["params.yaml"]
    assert again["params"]["train"]["epochs"] == 1
    assert again["data"] == card["data"]


def test_the_digest_of_a_folder_changes_with_names_and_contents(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x", encoding="utf-8")
    before = digest(tmp_path / "a")
    assert digest(tmp_path / "a") == before
    (tmp_path / "a" / "b" / "file").rename(tmp_path / "a" / "file")
    moved = digest(tmp_path / "a")
    (tmp_path / "a" / "file").write_text("y", encoding="utf-8")
    assert len({before, moved, digest(tmp_path / "a")}) == 3
