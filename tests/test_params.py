"""params.yaml: any file is valid or refused in one line that says what to fix."""

import copy
from pathlib import Path
from typing import Any

from check import CheckParams
from retrieval.errors import Problem
from retrieval.params import load, read

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

OWN = Path(__file__).parents[1] / "params.yaml"
VALUES = load(OWN)


def paths(values: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where every section and value stands."""
    here = [(*above, name) for name in values]
    return here + [
        path for name, each in values.items() if isinstance(each, dict) for path in paths(each, (*above, name))
    ]


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The project's own parameters with another value at `path`."""
    values = copy.deepcopy(VALUES)
    section = values
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    return values


def refusal(path: Path, text: str | bytes) -> str | None:
    """The line with which the file is refused; None if it is valid. Anything else that is raised fails the test."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        read(CheckParams, path, everything=True)
    except Problem as problem:
        line = str(problem)
        assert line.startswith(f"{path}: ")
        assert line.splitlines() == [line]
        assert len(line) < 5000
        return line
    return None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(max_size=9)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3), max_leaves=5
)
mutations = st.builds(changed, st.sampled_from(paths(VALUES)), anything)
unknown = st.builds(
    lambda path, name, value: changed((*path[:-1], name), value), st.sampled_from(paths(VALUES)), st.text(), anything
)
spliced = st.builds(
    lambda text, start, length, new: text[:start] + new + text[start + length :],
    st.just(OWN.read_text(encoding="utf-8")),
    st.integers(0, 6000),
    st.integers(0, 40),
    st.text(max_size=9) | st.text(alphabet=":-[]{},&*!|>'\"%@#? \t\n<=.0123456789eE", max_size=9),
)
files = st.one_of(
    mutations.map(lambda values: yaml.dump(values, Dumper=yaml.CDumper, allow_unicode=True)),
    unknown.map(lambda values: yaml.dump(values, Dumper=yaml.CDumper, allow_unicode=True)),
    spliced,
    anything.map(lambda values: yaml.dump(values, Dumper=yaml.CDumper, allow_unicode=True)),
    st.text(),
    st.binary(),
)


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=files)
def test_any_file_is_valid_or_refused_in_one_line(tmp_path_factory, text):
    refusal(tmp_path_factory.getbasetemp() / "params.yaml", text)


def test_the_projects_own_parameters_are_valid(tmp_path):
    assert refusal(tmp_path / "params.yaml", OWN.read_bytes()) is None


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("loss",), "bp", "loss: 'bp' is not valid: expected one of triplet, triplet_semihard, bpr, softmax, "),
        (("history",), "grru", "; did you mean 'gru'?"),
        (("train", "epochs"), 0, "train.epochs: 0 is not valid: expected greater than or equal to 1"),
        (("train", "epochs"), "14", "train.epochs: '14' is text, expected a number: write 14, without quotes"),
        (("train", "learning_rate"), "1e-3", "'1e-3' is text, expected a number: write 0.001, without quotes"),
        (("train", "learning_rate"), "1e-5", "'1e-5' is text, expected a number: write 1.0e-05, without quotes"),
        (("train", "epochs"), "1e1", "train.epochs: '1e1' is text, expected a number: write 10, without quotes"),
        (("train", "epochs"), 1.5, "train.epochs: 1.5 is not valid: expected a valid integer"),
        (("normalize",), "yes", "normalize: 'yes' is not valid: expected a valid boolean"),
        (("lost",), "bpr", "lost: unknown key; expected one of "),
        (("train", "epoch"), 3, "train.epoch: unknown key; expected one of "),
        (("train",), 3, "train: 3 is not valid: expected "),
        (("train",), None, "train: None is not valid: expected "),
        (("score",), "cosine", "loss=triplet with score=cosine has no fixed scale for its margin: expected score="),
        (("evaluate", "k"), 100_000, "evaluate.k: 100000 is not valid: expected less than or equal to 1000"),
        (
            ("trend", "enabled"),
            True,
            "loss=triplet has a margin, and its scores can have no trend",
        ),
        (("trend", "personal"), 0.7, "trend.personal is now called trend.user_weight"),
        (("towers", "heads"), 3, "towers: width 64 is not a multiple of heads 3"),
    ],
)
def test_refusals_name_the_key_the_value_the_choices_and_the_nearest(tmp_path, path, value, line):
    values = changed(path, value)
    if path in [("score",), ("trend", "enabled")]:
        values |= {"loss": "triplet"}
    assert line in refusal(tmp_path / "params.yaml", yaml.safe_dump(values))


@pytest.mark.parametrize("text", ["1e-3", "1e-5", "1e+20", "5", " 0.25"])
def test_the_number_in_a_hint_is_valid_yaml(tmp_path, text):
    line = refusal(tmp_path / "params.yaml", yaml.safe_dump(changed(("train", "weight_decay"), text)))
    hint = line.split("write ")[1].split(", without")[0]
    assert yaml.safe_load(hint) == float(text)


@pytest.mark.parametrize(("name", "text"), [("epochs", "1.5"), ("clip", "inf"), ("clip", "much")])
def test_text_that_is_no_valid_number_gets_no_hint(tmp_path, name, text):
    line = refusal(tmp_path / "params.yaml", yaml.safe_dump(changed(("train", name), text)))
    assert line.endswith(f"train.{name}: {text!r} is text, expected a number")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: 1\nseed: 2\n", "invalid YAML: key 'seed' appears twice"),
        ("seed: [1\n", "invalid YAML: "),
        ("- 1\n", "expected a mapping of names to values at the top level"),
        ("1: 2\n", "expected a mapping of names to values at the top level"),
    ],
)
def test_a_file_that_is_no_mapping_of_unique_names_is_refused(tmp_path, text, line):
    assert refusal(tmp_path / "params.yaml", text).startswith(f"{tmp_path / 'params.yaml'}: {line}")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Problem, match=r"params\.yaml: no such file; run this from the root of the repository"):
        load(tmp_path / "params.yaml")


def test_a_line_names_at_most_six_errors(tmp_path):
    values = {name: value for name, value in VALUES.items() if isinstance(value, dict)}
    missing = len(VALUES) - len(values)
    line = refusal(tmp_path / "params.yaml", yaml.safe_dump(values))
    assert line.count("required") == 6
    assert line.endswith(f"; and {missing - 6} more")


def test_every_problem_is_named_at_once(tmp_path):
    values = {name: value for name, value in changed(("loss",), "bp").items() if name != "seed"}
    line = refusal(tmp_path / "params.yaml", yaml.safe_dump(values))
    assert "seed: required" in line
    assert "loss: 'bp'" in line
