"""The stage check: a marker if params.yaml is valid, and a warning for each thing that DVC cannot do here."""

import shutil
from pathlib import Path

import check
from retrieval.errors import Problem
from retrieval.params import load, read

import pytest
from repositories import dvc, repository

ROOT = Path(__file__).parents[1]
PARAMS = read(check.CheckParams, ROOT / "params.yaml", everything=True)
PATH = "check: warning: {}: `dvc exp run` with --temp or --queue fails in a path that is not ASCII\n"
IDENTITY = (
    "check: warning: git has no user.name and user.email, and `dvc exp run` needs both: "
    "git config user.name NAME && git config user.email EMAIL\n"
)


@pytest.fixture
def stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """stderr(folder): what the stage prints in a folder of this name, with a git that is not configured."""
    for name in ("NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_COMMITTER_{name}", raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    def printed(folder: str) -> str:
        root = tmp_path / folder
        root.mkdir()
        shutil.copy(ROOT / "dvc.yaml", root)
        monkeypatch.chdir(root)
        check.main(PARAMS, Path("data/checked"))
        assert Path("data/checked").read_text(encoding="utf-8") == "params.yaml is valid\n"
        return capsys.readouterr().err.replace(str(root), "{}")

    return printed


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who commits, for git and for DVC."""
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Somebody")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "somebody@example.com")


def test_there_is_nothing_to_warn_of_in_a_path_with_spaces(stderr, identity):
    assert stderr("my clone") == ""


def test_a_path_that_is_not_ascii_is_one_line(stderr, identity):
    assert stderr("мой клон") == PATH


def test_git_without_a_name_is_one_line(stderr):
    assert stderr("clone") == IDENTITY


def test_a_name_in_the_configuration_of_git_is_enough(stderr, tmp_path):
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Somebody\n\temail = somebody@example.com\n")
    assert stderr("clone") == ""
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Somebody\n")
    assert stderr("another") == IDENTITY


def test_a_machine_without_git_is_no_error(stderr, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert stderr("clone") == IDENTITY


@pytest.mark.parametrize(("name", "near"), [("lightfn", "; did you mean 'lightfm'"), ("external", "")])
def test_a_model_without_a_stage_that_evaluates_it_is_refused(tmp_path, monkeypatch, name, near):
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    expected = f"params.yaml: models: '{name}' is no model that dvc.yaml evaluates; expected one of dssm, .*{near}"
    with pytest.raises(Problem, match=expected):
        check.main(PARAMS.model_copy(update={"models": ["dssm", name]}), Path("checked"))
    assert not Path("checked").exists()


@pytest.mark.heavy
def test_small_numbers_after_dash_s_are_numbers(tmp_path):
    root = repository(tmp_path / "clone")
    changes = {"train.learning_rate": "1e-5", "train.weight_decay": "0.00001", "lightfm.item_alpha": "1e-6"}
    options = [part for key, value in changes.items() for part in ("--set-param", f"{key}={value}")]
    assert "Ran experiment" in dvc(root, "exp", "run", *options, "check")
    values = load(root / "params.yaml")
    assert [values[section][key] for section, key in (name.split(".") for name in changes)] == [1e-5, 1e-5, 1e-6]


@pytest.mark.heavy
def test_a_value_out_of_range_is_refused_before_anything_else_runs(tmp_path):
    root = repository(tmp_path / "clone")
    output = dvc(root, "exp", "run", "--set-param", "index.hnsw.links=1", "check", code=255)
    assert "check: params.yaml: index.hnsw.links: 1 is not valid: expected greater than or equal to 2" in output
