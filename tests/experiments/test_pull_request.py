"""The command that writes the report of a change, with the real DVC."""

import re

from repositories import python

COMMAND = ("-m", "retrieval.experiments.pull_request")


def test_the_command_compares_an_experiment_with_the_branch(experimented, sources):
    done = python(experimented, *COMMAND, "main", "other")
    assert done.stdout == "report/report.html\nreport/report.md\n"
    text = (experimented / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"\| `loss` +\| `softmax` +\| `bpr`", text)
    assert '"DSSM: training loss (plots/loss.json)"' in text
    addresses = sources((experimented / "report" / "report.html").read_text(encoding="utf-8")).addresses
    assert len([each for each in addresses if each.startswith("data:image/svg+xml")]) == 5
    assert len([each for each in addresses if each.startswith("data:image/png")]) == 8
    assert len(addresses) == len([each for each in addresses if each.startswith("data:image/")])


def test_an_unknown_revision_is_refused_in_one_line(experimented):
    refusal = python(experimented, *COMMAND, "nowhere", code=1)
    assert len(refusal.stderr.splitlines()) == 1
    assert "nowhere" in refusal.stderr
