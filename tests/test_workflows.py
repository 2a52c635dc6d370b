"""The workflows on GitHub: pinned actions, few rights, and no text of a pull request in a program."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

GITHUB = Path(__file__).parents[1] / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in GITHUB.glob("workflows/*.yml")}
STEPS = [
    (name, step) for name, flow in WORKFLOWS.items() for job in flow["jobs"].values() for step in job["steps"]
]  # fmt: skip


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_actions_are_pinned_and_scripts_have_no_expressions(name, step):
    assert re.search(r"@[0-9a-f]{40}$", step.get("uses", "@" + "0" * 40))
    assert "${{" not in step.get("run", ""), "pass it by `env`, where it is no program"


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_rights_are_named_and_only_the_comment_may_write(name):
    flow = WORKFLOWS[name]
    rights = [flow["permissions"], *(job.get("permissions", {}) for job in flow["jobs"].values())]
    writes = [right for each in rights for right, kind in each.items() if kind == "write"]
    assert writes == (["pull-requests"] if name == "report" else [])


def test_vulnerabilities_are_looked_up_every_week():
    flow = WORKFLOWS["audit"]
    (when,) = flow[True]["schedule"]  # YAML 1.1 takes `on` for true
    assert re.fullmatch(r"\d+ \d+ \* \* [0-7]", when["cron"])
    assert flow["jobs"]["audit"]["steps"][-1] == {"run": "make audit"}


def test_dependabot_reads_every_kind_of_pin():
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"pip", "github-actions", "docker"}


@pytest.mark.parametrize(
    ("mark", "found"),
    [('<!-- report -->', True), ('") or true or ("', False), ("$(touch owned)", False)],
    ids=["its own", "jq", "shell"],
)  # fmt: skip
def test_the_comment_is_found_by_its_first_line_whatever_that_holds(tmp_path, mark, found):
    """gh stands for itself: it runs the jq program if jq is there, and logs what it is asked."""
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    (script,) = [step["run"] for _, step in STEPS if step.get("name", "").startswith("Update or create")]
    comments = '[{"id": 7, "user": {"type": "Bot"}, "body": "<!-- report -->\\nold"}]'
    gh = tmp_path / "gh"
    gh.write_text(
        f"#!/bin/bash\nprintf '%s|' \"$@\" >>{tmp_path}/log\n"
        f"[ \"$4\" = --jq ] && echo '{comments}' | jq \"$5\"\nexit 0\n"
    )  # fmt: skip
    gh.chmod(0o755)
    (tmp_path / "report.md").write_text(f"{mark}\nnew\n")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "a/b", "NUMBER": "1"}
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True)
    assert ("comments/7|" in (tmp_path / "log").read_text()) == found
    assert not (tmp_path / "owned").exists()
