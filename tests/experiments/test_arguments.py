"""The numbers among the arguments are refused while the arguments are read, by every command in the same way."""

import sys
from importlib import import_module

from retrieval.errors import Problem

import pytest

WHOLE = "expected a whole number, 1 or more"


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        ("search", ["loss=bpr", "--trials", "-1"], f"--trials: -1 is not valid: {WHOLE}"),
        ("search", ["loss=bpr", "--trials", "many"], f"--trials: many is not valid: {WHOLE}"),
        ("search", ["loss=bpr", "--jobs", "0"], f"--jobs: 0 is not valid: {WHOLE}"),
        ("search", ["loss=bpr", "--folds", "1,-2"], "--folds: -2 is not valid: expected a whole number, 0 or more"),
        ("compare", ["a", "b", "--folds", "1,,2"], "--folds:  is not valid: expected a whole number, 0 or more"),
        ("compare", ["a", "b", "--seeds", "1.5"], f"--seeds: 1.5 is not valid: {WHOLE}"),
        ("seeds", ["-n", "0"], f"--seeds: 0 is not valid: {WHOLE}"),
        ("verify", ["--tolerance", "-0.1"], "--tolerance: -0.1 is not valid: expected a number, 0 or more"),
        ("verify", ["--tolerance", "nan"], "--tolerance: nan is not valid: expected a number, 0 or more"),
    ],
)
def test_a_number_that_is_not_valid_is_refused_before_anything_is_made(
    command, arguments, reason, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    with pytest.raises(Problem) as refusal:
        import_module(f"retrieval.experiments.{command}").main()
    assert str(refusal.value) == reason
    assert not [*tmp_path.iterdir()]
