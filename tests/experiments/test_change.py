"""The report of a change: one page that loads nothing, and Markdown, with both revisions in every plot."""

import re
from html.parser import HTMLParser

from retrieval.errors import Problem
from retrieval.experiments import markdown, page
from retrieval.experiments.change import Change, Plot

import pytest
from repositories import python

LOSS = Plot(
    "plots/loss.json", "Loss", "epoch", "loss", {"loss": {"main": ([1, 2, 3], [4, 2, 1]), "new": ([1, 2], [3, 1])}}
)
SAME = Plot("plots/x.json", "X", "x", "y", {"y": {"main": ([1, 2], [1, 1]), "new": ([1, 2], [1, 1])}})
CHANGE = Change(
    "main",
    "new",
    {
        "dssm": {"recall@10": (0.5, 0.5), "map@10": (0.1, 0.125)},
        "ease": {"map@10": (0.2, 0.2), "recall@10": (0.4, 0.4)},
    },
    {"loss": ("softmax", "<b>bpr</b>"), "train.epochs": (14, None)},
    [LOSS, SAME],
    {"plots/map.png": {"main": b"one", "new": b"two"}},
)


class Sources(HTMLParser):
    """What a page would load, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_holds_its_pictures_and_loads_nothing():
    text = page.render(CHANGE)
    found = Sources(text)
    assert len(found.loaded) == 4, "two plots, and a picture of each revision"
    assert all(each.startswith("data:image/") for each in found.loaded)
    assert not found.tags & {"script", "link", "iframe", "b"}, "and what stands in a parameter is text"
    assert "url(" not in text


def test_the_markdown_has_parameters_metrics_and_what_changed_of_the_plots():
    text = markdown.render(CHANGE, "<!-- mark -->", None)
    assert text.startswith("<!-- mark -->\n")
    assert re.search(r"\| `train.epochs` +\| `14` +\| +`` +\|", text)
    assert re.search(r"\| dssm +\| 0.1250 \(\+0.0250\) +\| 0.5000 \(=\) +\|", text), "MAP comes first"
    assert "Without a change: ease." in text
    assert text.count("```mermaid") == 1


def test_both_lines_of_a_chart_are_read_off_at_the_same_places():
    """Mermaid spreads values evenly over the axis: epochs 1 to 3 and 1 to 2 share 1 to 2, here at 1, 1.5 and 2."""
    chart = markdown.render(CHANGE, "", None)
    assert 'x-axis "epoch" 1 --> 2' in chart
    assert "line [4, 3, 2]" in chart
    assert "line [3, 2, 1]" in chart


def test_pictures_are_linked_by_commit(monkeypatch):
    monkeypatch.setattr(markdown, "call", lambda *words: f"{words[2]}!\n")
    text = markdown.render(CHANGE, "", "https://h/o/r/raw")
    for revision in ("main", "new"):
        assert f"(https://h/o/r/raw/{revision}^{{commit}}!/plots/map.png)" in text


def test_the_work_tree_has_no_address():
    with pytest.raises(Problem, match="the work tree has no address"):
        markdown.render(Change("main", "workspace", {}, {}, [], {}), "", "https://example.com")


def test_the_command_compares_an_experiment_with_the_branch(experimented):
    done = python(experimented, "-m", "retrieval.experiments.pull_request", "main", "other")
    assert done.stdout == "report/report.html\nreport/report.md\n"
    text = (experimented / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"\| `loss` +\| `softmax` +\| `bpr`", text)
    assert '"DSSM: training loss (plots/loss.json)"' in text
    found = Sources((experimented / "report" / "report.html").read_text(encoding="utf-8"))
    assert len([each for each in found.loaded if each.startswith("data:image/svg+xml")]) >= 6
    assert len([each for each in found.loaded if each.startswith("data:image/png")]) == 8
    assert len(found.loaded) == len([each for each in found.loaded if each.startswith("data:image/")])
    refused = python(experimented, "-m", "retrieval.experiments.pull_request", "nowhere", code=1)
    assert len(refused.stderr.splitlines()) == 1
    assert "nowhere" in refused.stderr
