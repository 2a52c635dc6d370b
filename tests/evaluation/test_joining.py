"""Parts of several models become one, in the order of the models."""

import json
from pathlib import Path

from retrieval.evaluation.joining import VALUES, join, join_files, read_values, summary, write_values
from retrieval.stage import write_json

import numpy as np
import pytest


def test_mappings_have_the_keys_of_all_parts_in_order() -> None:
    parts = [{"b": {"map@10": 1}}, {"a": {"map@10": 2}}, {}]
    assert list(join(parts).items()) == [("b", {"map@10": 1}), ("a", {"map@10": 2})]


def test_what_all_parts_share_appears_once() -> None:
    groups = [{"sex": {"F": {"users": 7, name: {"map@10": value}}}} for name, value in (("dssm", 1), ("ease", 2))]
    assert join(groups) == {"sex": {"F": {"users": 7, "dssm": {"map@10": 1}, "ease": {"map@10": 2}}}}


def test_series_are_joined_row_by_row() -> None:
    parts = [[{"k": 1, "dssm": 0.1}, {"k": 2, "dssm": 0.2}], [{"k": 1, "ease": 0.3}, {"k": 2, "ease": 0.4}]]
    assert join(parts) == [{"k": 1, "dssm": 0.1, "ease": 0.3}, {"k": 2, "dssm": 0.2, "ease": 0.4}]


def test_series_of_different_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        join([[{"k": 1}, {"k": 2}], [{"k": 1}]])


def test_files_of_one_name_become_one_and_others_stay(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "metrics.json", {"a": 1})
    write_json(tmp_path / "b" / "metrics.json", {"b": 2})
    write_json(tmp_path / "b" / "scores" / "b.json", [3])
    joined = join_files([tmp_path / "b", tmp_path / "a"], tmp_path / "out")
    assert joined == {"metrics.json": {"b": 2, "a": 1}, "scores/b.json": [3]}
    for name, content in joined.items():
        assert json.loads((tmp_path / "out" / name).read_text(encoding="utf-8")) == content


def test_values_are_read_as_they_were_written_in_order(tmp_path: Path) -> None:
    written = {"ndcg@10": np.array([0.1, 1 / 3]), "map@10": np.array([0.5, 0.25]), "coverage@10": np.array(0.5)}
    write_values(tmp_path / "a", VALUES, written)
    (tmp_path / "b").mkdir()
    (values,) = read_values({"a": tmp_path / "a", "b": tmp_path / "b"}, VALUES).values()
    assert list(values) == list(written)
    for name, value in written.items():
        np.testing.assert_array_equal(values[name], value)
        assert values[name].ndim == value.ndim


def test_the_summary_is_what_dvc_shows() -> None:
    row = {"map@5": 1.0, "ndcg@5": 2.0, "recall@5": 3.0, "novelty@5": 4.0, "novelty_of_users@5": 5.0}
    assert summary({"dssm": row}) == {"dssm": {"map@5": 1.0, "ndcg@5": 2.0, "novelty@5": 4.0}}
