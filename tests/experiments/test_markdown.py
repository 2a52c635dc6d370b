"""The report as Markdown for GitHub."""

import re
from dataclasses import replace

from retrieval.errors import Problem
from retrieval.experiments import markdown
from retrieval.experiments.change import Change

import pytest


def test_the_report_has_parameters_metrics_and_the_plots_that_changed(change):
    text = markdown.render(change, "<!-- mark -->", None)
    assert text.startswith("<!-- mark -->\n")
    assert "\ndssm: made <elsewhere>.\n" in text
    assert re.search(r"\| `train.epochs` +\| `14` +\| +`` +\|", text)
    assert re.search(r"\| dssm +\| 0.1250 \(\*\*\+0.0250 ± 0.0200\*\*\) +\| 0.5000 \(=\) +\|", text), "MAP comes first"
    assert "Unchanged: ease." in text
    assert text.count("```mermaid") == 1
    without = markdown.render(replace(change, noise={}), "", None)
    assert "(+0.0250)" in without
    assert "bold" not in without


def test_both_lines_of_a_chart_are_interpolated_at_the_same_points(change):
    """Mermaid spreads values evenly over the axis: epochs 1 to 3 and 1 to 2 share 1 to 2, here at 1, 1.5 and 2."""
    chart = markdown.render(change, "", None)
    assert 'x-axis "epoch" 1 --> 2' in chart
    assert "line [4, 3, 2]" in chart
    assert "line [3, 2, 1]" in chart


def test_pictures_are_linked_by_commit(change, monkeypatch):
    monkeypatch.setattr(markdown, "call", lambda *words: f"{words[2]}!\n")
    text = markdown.render(change, "", "https://h/o/r/raw")
    for revision in ("main", "new"):
        assert f"(https://h/o/r/raw/{revision}^{{commit}}!/plots/map.png)" in text


def test_pictures_of_the_work_tree_have_no_url():
    with pytest.raises(Problem, match="the work tree has no URL"):
        markdown.render(Change("main", "workspace", {}, {}, [], {}, [], {}), "", "https://example.com")


def test_without_differences_the_report_says_so():
    text = markdown.render(Change("main", "new", {}, {}, [], {}, [], {}), "", None)
    assert "No parameter differs." in text
    assert "No metrics." in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1.0, 1.5, "+0.5000 ± 0.2000"),
        (1.5, 1.0, "-0.5000 ± 0.2000"),
        (1.0, 1.0, "="),
        (1.0, 0.99996, "≈"),
        (1.0, 1.00004, "≈"),
        (None, 1.0, "new"),
        (1.0, None, "removed"),
        (None, None, ""),
    ],
)
def test_differences_have_a_sign(old, new, expected):
    assert markdown.format_difference(old, new, 0.2) == expected
    assert markdown.format_difference(old, new) == expected.removesuffix(" ± 0.2000")


def of(**models):
    """A change of MAP and novelty of models, each (old, new), of noise 0.02."""
    metrics = {model: {"map@10": each, "novelty@10": each, "coverage@10": each} for model, each in models.items()}
    noise = {model: {"map@10": 0.02, "novelty@10": 0.02} for model in models}
    return Change("main", "new", metrics, {}, [], {}, [], noise)


def test_models_are_ranked_by_the_new_map():
    change = of(a=(0.3, 0.1), b=(0.1, 0.2), gone=(0.5, None), new=(None, 0.15))
    assert markdown.ranked(change) == ["b", "new", "a", "gone"]
    lines = markdown.render(change, "", None).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("| ")][1:] == ["b", "new", "a", "gone"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(0.1, 0.13, "better"), (0.13, 0.1, "worse"), (0.1, 0.11, ""), (0.1, 0.1, ""), (0.1, None, ""), (None, 0.1, "")],
)
def test_only_a_change_beyond_its_noise_is_a_verdict(old, new, expected):
    change = of(a=(old, new))
    assert markdown.verdict(change, "a", "map@10") == expected
    assert markdown.verdict(change, "a", "novelty@10") == "", "neither end of novelty is the good one"
    assert markdown.verdict(change, "a", "coverage@10") == "", "without an interval"
    assert markdown.render(change, "", None).count("**") == (2 if expected else 0)
