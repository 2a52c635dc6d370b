"""Groups of users by their features and by their activity."""

from dataclasses import replace

from retrieval.evaluation.groups import by_group, groups
from retrieval.histories import Features, Histories

import numpy as np
import scipy.sparse as sp


def features() -> Features:
    """Six users who watched 1, 1, 1, 2, 3 and 5 items; user 5 has no features. Items have 5, 4, 2, 1 and 1 watchers."""
    watched = [[0], [0], [1], [0, 1], [0, 1, 2], [0, 1, 2, 3, 4]]
    indptr, items = np.append(0, np.cumsum([len(each) for each in watched])), np.concatenate(watched)
    histories = Histories(indptr, items.astype(np.int32), np.zeros_like(items), np.ones(len(items), np.float32))
    users = sp.csr_matrix(np.array(
        [[1, 0, 0, 1], [0, 1, 0, 1], [1, 0, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]], dtype=np.float32
    ))  # fmt: skip
    spec = {"user_columns": {"sex": ["F", "M"], "income": ["0.5:1", "1.5"]}, "item_columns": {}}
    return Features(histories, users, sp.csr_matrix((5, 0), dtype=np.float32), np.arange(6), np.arange(5), spec)


def test_groups_are_the_users_with_the_value() -> None:
    made = groups(features(), np.arange(6))
    assert {name: {value: np.flatnonzero(m).tolist() for value, m in c.items()} for name, c in made.items()} == {
        "sex": {"F": [0, 2], "M": [1, 3, 4]},
        "income": {"1_5": [0, 1, 3, 4]},  # nobody has the other value; no dots in names
        # thirds end at quantiles 1 and 2 + 1/3 of the counts; equal counts stay together
        "activity": {"1-1": [0, 1, 2], "2-2": [3], "3-5": [4, 5]},
        # users' items have 5, 5, 4, 4 1/2, 3 2/3 and 2 3/5 watchers on average
        "taste": {"niche": [4, 5], "diverse": [2, 3], "blockbuster": [0, 1]},
    }


def test_items_that_a_user_has_had_more_than_once_count_once() -> None:
    """Each user has had everything twice."""
    one, made = features(), groups(features(), np.arange(6))
    h = one.histories
    twice = Histories(2 * h.indptr, *(each.repeat(2) for each in (h.item, h.time, h.weight)))
    again = groups(replace(one, histories=twice), np.arange(6))
    assert {name: {value: m.tolist() for value, m in column.items()} for name, column in again.items()} == {
        name: {value: m.tolist() for value, m in column.items()} for name, column in made.items()
    }


def test_a_column_with_too_many_values_is_skipped(monkeypatch) -> None:
    monkeypatch.setattr("retrieval.evaluation.groups.MAX_VALUES", 1)
    one = features()
    one.spec["user_columns"] = {"name": ["A", "B", "C"], "here": ["1"]}
    made = groups(one, np.arange(6))
    assert list(made) == ["here", "activity", "taste"]
    assert list(made["here"]) == ["1"]


def test_only_the_given_users_count() -> None:
    made = groups(features(), np.array([1, 5]))
    assert {name: list(values) for name, values in made.items()} == {
        "sex": ["M"],
        "income": ["1_5"],
        "activity": ["1-1", "5-5"],
        "taste": ["niche", "blockbuster"],
    }


def test_means_by_group() -> None:
    members = {"sex": {"F": np.array([True, False, True]), "M": np.array([False, True, False])}}
    values = {"a": {"map@10": np.array([0.1, 0.5, 0.2]), "coverage@10": np.array(0.7)}}
    assert by_group(values, members) == {
        "sex": {"F": {"users": 2, "a": {"map@10": 0.15}}, "M": {"users": 1, "a": {"map@10": 0.5}}}
    }
