"""params.yaml: any file is valid or refused in one line that says what to fix."""

import copy
import itertools
import math
import time
from datetime import date
from pathlib import Path
from typing import Any

from check import CheckParams
from retrieval.errors import Problem
from retrieval.params import load, parse, read

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import dumps_yaml, load_yaml, loads_yaml
from hypothesis import HealthCheck, example, given, settings
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


@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
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
        (("train", "learning_rate"), "1e-5", "'1e-5' is text, expected a number: write 1e-05, without quotes"),
        (("train", "epochs"), "1e1", "train.epochs: '1e1' is text, expected a number: write 10, without quotes"),
        (("train", "epochs"), 1.5, "train.epochs: 1.5 is not valid: expected a valid integer"),
        (("normalize",), "yes", "normalize: 'yes' is not valid: expected a valid boolean"),
        (("lost",), "bpr", "lost: unknown key; expected one of "),
        (("train", "epoch"), 3, "train.epoch: unknown key; expected one of "),
        (("train",), 3, "train: 3 is not valid: expected "),
        (("train",), None, "train: None is not valid: expected "),
        (("score",), "cosine", "loss=triplet with score=cosine has no fixed scale for its margin: expected score="),
        (("evaluate", "k"), 10, "evaluate.k is now called evaluate.ks"),
        (("evaluate", "ks"), 10, "evaluate.ks: 10 is not valid: expected a valid list"),
        (("evaluate", "ks"), [], "evaluate.ks: [] is not valid: expected "),
        (("evaluate", "ks"), [10, 100_000], "evaluate.ks.1: 100000 is not valid: expected less than or equal to 1000"),
        (("evaluate", "ks"), [0, 10], "evaluate.ks.0: 0 is not valid: expected greater than or equal to 1"),
        (("evaluate", "ks"), [100, 10], "evaluate.ks: [100, 10] is not valid: expected ascending numbers, each once"),
        (("evaluate", "ks"), [10, 10], "evaluate.ks: [10, 10] is not valid: expected ascending numbers, each once"),
        (
            ("trend", "enabled"),
            True,
            "loss=triplet has a margin, and its scores can have no trend",
        ),
        (("trend", "personal"), 0.7, "trend.personal is now called trend.user_weight"),
        (("towers", "heads"), 7919, f"towers: width {VALUES['towers']['width']} is not a multiple of heads 7919"),
        (("seed",), 5_000_000_000, "seed: 5000000000 is not valid: expected less than or equal to 4294967295"),
        (("seed",), "x" * 9000, "xxx... is text, expected a number"),
        (("folder",), "a\nb", "folder: 'a\\nb' is not valid: expected text without line breaks"),
        (("folder",), "x" * 9000, "xxx... is not valid: expected "),
        (
            ("positives", "exclude_disliked"),
            True,
            "positives: exclude_disliked=true is about values below min_value: expected a number there, not null",
        ),
        (("towers", "width"), -3, "towers.width: -3 is not valid: expected greater than or equal to 2"),
        (("towers", "width"), 7, "towers.width: 7 is not valid: expected a multiple of 2"),
        (("towers", "width"), 2**40, "towers.width: 1099511627776 is not valid: expected less than or equal to 65536"),
        (("seed",), -1, "seed: -1 is not valid: expected greater than or equal to 0"),
        (("seed",), "010", "seed: '010' is text, expected a number: write 10, without quotes"),
        (("folder",), 5, "folder: 5 is not valid: expected a valid string"),
        (("folder",), None, "folder: None is not valid: expected a valid string"),
        (("folder",), "", "folder: '' is not valid: "),
        (
            ("train", "epochs"),
            2**31,
            "train.epochs: 2147483648 is not valid: expected less than or equal to 2147483647",
        ),
        (("train", "learning_rate"), math.inf, "train.learning_rate: inf is not valid: expected a finite number"),
        (("index", "hnsw", "links"), 1, "index.hnsw.links: 1 is not valid: expected greater than or equal to 2"),
        (
            ("index", "hnsw", "links"),
            10**9,
            "index.hnsw.links: 1000000000 is not valid: expected less than or equal to 256",
        ),
        (("index", "hnsw", "search"), 10**9, "expected less than or equal to 32768"),
        (("index", "ivf", "lists"), 10**9, "expected less than or equal to 65536"),
        (("index", "ivf", "probes"), 0, "expected greater than or equal to 1"),
        (
            ("baselines", "ease", "regularization"),
            1e-300,
            "ease.regularization: 1e-300 is not valid: expected greater ",
        ),
        (
            ("baselines", "ials", "alpha"),
            1e30,
            "ials.alpha: 1e+30 is not valid: expected less than or equal to 1000000",
        ),
    ],
)
def test_refusals_name_the_key_the_value_the_choices_and_the_nearest(tmp_path, path, value, line):
    values = changed(path, value)
    if path in [("score",), ("trend", "enabled")]:
        values |= {"loss": "triplet"}
    assert line in refusal(tmp_path / "params.yaml", dumps_yaml(values))


@pytest.mark.parametrize("text", ["1e-3", "1e-5", "1e+20", "5", " 0.25"])
def test_the_number_in_a_hint_is_a_number_in_yaml(tmp_path, text):
    line = refusal(tmp_path / "params.yaml", dumps_yaml(changed(("train", "weight_decay"), text)))
    hint = line.split("write ")[1].split(", without")[0]
    assert parse(hint) == float(text)


@pytest.mark.parametrize(("name", "text"), [("epochs", "1.5"), ("clip", "inf"), ("clip", "much")])
def test_text_that_is_no_valid_number_gets_no_hint(tmp_path, name, text):
    line = refusal(tmp_path / "params.yaml", dumps_yaml(changed(("train", name), text)))
    assert line.endswith(f"train.{name}: {text!r} is text, expected a number")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: 1\nseed: 2\n", "invalid YAML: key 'seed' appears twice"),
        ("seed: [1\n", "invalid YAML: "),
        ("- 1\n", "expected a mapping of names to values at the top level"),
        ("1: 2\n", "expected a mapping of names to values at the top level"),
        ("", "expected a mapping of names to values at the top level"),
        ("seed: &a 1\nfolder: *a\n", "invalid YAML: alias *a: write the value itself in "),
        ("seed: !!int '1'\n", "invalid YAML: tag !!int: expected a value without a tag in line 1, column 7"),
        ("seed: !!bool maybe\n", "invalid YAML: tag !!bool: expected a value without a tag in line 1, column 7"),
        ("seed: !<!> x\n", "invalid YAML: tag !: expected a value without a tag in "),
        ("%YAML 1.1\n---\nseed: 1\n", "invalid YAML: a line with %: expected YAML without directives in "),
        ("seed: 1\n---\nseed: 2\n", "invalid YAML: expected a single document"),
        (f"seed: {'9' * 400}\n", "invalid YAML: a number of more than 300 digits in "),
        (f"seed: 0x{'F' * 9000}\n", "invalid YAML: a number of more than 300 digits in "),
        (f"{'[' * 40}{']' * 40}\n", "invalid YAML: more than 20 levels in "),
    ],
)
def test_a_file_that_is_no_mapping_of_unique_names_is_refused(tmp_path, text, line):
    assert refusal(tmp_path / "params.yaml", text).startswith(f"{tmp_path / 'params.yaml'}: {line}")


def nested_aliases() -> str:
    """An alias of lists of aliases, ten billion values in 300 bytes."""
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 11)]
    return "\n".join(["a0: &a0 [x]", *levels])


@pytest.mark.parametrize(
    "text",
    [
        f"folder: {'x' * 10_000_000}\n",
        nested_aliases(),
        "\n".join(f"k{i}: 1" for i in range(9_000)),
        f"seed: {{{','.join(f'k{i}: 1' for i in range(9_000))}}}",
        f"folder: {'x' * 90_000}\n",
        f"{'x' * 90_000}: 1\n",
        f"loss: {'x' * 90_000}\n",
        "[" * 90_000,
        "{" * 90_000,
        "- " * 45_000,
        f"columns: {{user: [{'a, ' * 30_000}]}}",
        f"columns: {{user: [{'1, ' * 30_000}]}}",
    ],
    ids=lambda text: f"{text[:20]!r} of {len(text)}",
)
def test_a_huge_file_is_refused_in_a_second(tmp_path, text):
    start = time.process_time()
    assert refusal(tmp_path / "params.yaml", text)
    assert time.process_time() - start < 5  # of the processor: other programs may use it, too


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(Problem, match=r"Is a directory$"):
        load(tmp_path)


# YAML 1.2 as DVC reads it

PLAIN_VALUES = """
null Null NULL nULL ~ true True TRUE tRue false False FALSE yes Yes no on off y n
0 -0 +5 010 0777 08 0o17 0o8 0O17 0x1F -0x1F 0xg 0b101 0b2 1_000 _1 1__0 1__ 12:30 190:20:30 1.5:30 5000000000
1e-5 1e5 1e05 1E5 -1e+5 1.0e-5 0.00001 .5 5. -.5 .5e5 .5e+5 1e 1e5.0 1.2.3 1e400 .inf -.inf +.inf .Inf .INF .iNF inf
.nan .NaN .NAN -.nan nan . - + -- .e5 1-2 1/2 a =1 <= 2024-13-1x 1,5 é"""


def value_of(text: str, reader: Any) -> Any:
    """What a reader takes `x: <text>` for; "refused" if it raises an error."""
    try:
        return reader(f"x: {text}")["x"]
    except Exception:
        return "refused"


def same(one: Any, other: Any) -> bool:
    both_nan = one != one and other != other
    return type(one) is type(other) and (one == other or both_nan)


@pytest.mark.parametrize("text", PLAIN_VALUES.split())
def test_a_value_is_what_dvc_reads(text):
    assert same(value_of(text, parse), value_of(text, loads_yaml))


@given(text=st.text(alphabet="0123456789_.+-eExoabf:~nNuUlLIiTtrRyYsS", min_size=1, max_size=8).map(str.strip))
@settings(max_examples=2000)
def test_any_short_value_is_what_dvc_reads(text):
    theirs = value_of(text, loads_yaml)
    expected = text if isinstance(theirs, date) else theirs
    assert same(value_of(text, parse), expected)


def test_every_short_number_is_what_dvc_reads():
    texts = ["".join(letters) for n in range(1, 5) for letters in itertools.product("01_.+-ex", repeat=n)]
    assert [text for text in texts if not same(value_of(text, parse), value_of(text, loads_yaml))] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-01", "2024-01-01"),  # DVC reads a date, and prints it as it is written
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("=", "="),  # DVC refuses it
        ("<<", "<<"),
    ],
)
def test_what_dvc_reads_otherwise_is_text(text, value):
    assert value_of(text, parse) == value


printable = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]))  # of others DVC itself reads other text
written = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    max_leaves=5,
)


@given(value=written)
@example(value="1e-5")
@example(value=1e-5)
@settings(max_examples=500)
def test_what_dvc_writes_is_read_as_the_same_value(value):
    text = dumps_yaml({"x": value})
    assert repr(parse(text)) == repr(loads_yaml(text)) == repr({"x": value})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.learning_rate", "1e-5", 1e-5),
        ("train.learning_rate", "0.00001", 1e-5),
        ("train.learning_rate", "1E5", 1e5),
        ("lightfm.item_alpha", "1e-6", 1e-6),
        ("lightfm.item_alpha", "0", 0.0),
        ("train.epochs", "1_000", 1000),
        ("normalize", "True", True),
        ("folder", "12:30", "12:30"),
        ("folder", "yes", "yes"),
        ("folder", "2024-01-01", "2024-01-01"),
        ("folder", "0x1F", "0x1F"),
        ("folder", "'1e-5'", "1e-5"),
        ("columns.user", "[a, '1', no]", ["a", "1", "no"]),
    ],
)
def test_a_value_after_dash_s_is_the_value_of_the_stages(tmp_path, key, text, value):
    path = tmp_path / "params.yaml"
    path.write_bytes(OWN.read_bytes())
    apply_overrides(path, [f"{key}={text}"])
    for values in (load(path), load_yaml(path), read(CheckParams, path, everything=True).model_dump()):
        for name in key.split("."):
            values = values[name]
        assert values == value


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Problem, match=r"params\.yaml: no such file; run this from the root of the repository"):
        load(tmp_path / "params.yaml")


def test_a_line_names_at_most_six_errors(tmp_path):
    values = {name: value for name, value in VALUES.items() if isinstance(value, dict)}
    missing = len(VALUES) - len(values)
    line = refusal(tmp_path / "params.yaml", dumps_yaml(values))
    assert line.count("required") == 6
    assert line.endswith(f"; and {missing - 6} more")


def test_every_problem_is_named_at_once(tmp_path):
    values = {name: value for name, value in changed(("loss",), "bp").items() if name != "seed"}
    line = refusal(tmp_path / "params.yaml", dumps_yaml(values))
    assert "seed: required" in line
    assert "loss: 'bp'" in line
