"""Which version of the project runs."""

import subprocess
import tomllib

from retrieval.serving import about

from worlds import ROOT


def test_the_version_is_the_projects_and_the_revision_that_of_the_work_tree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert about.about("") == {"version": project["version"], "revision": head.strip() or None}
    assert about.about("abc")["revision"] == "abc"


def test_outside_of_git_and_of_the_project_both_are_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(about, "ROOT", tmp_path)
    assert about.about("") == {"version": None, "revision": None}
    (tmp_path / ".git").mkdir()  # damaged
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert about.about("")["revision"] is None
