"""Ids of both kinds: every one comes back as it was, from files, from text and from URLs."""

import re
import time
from pathlib import Path

from retrieval import ids

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import ODD

integers = st.integers(-(2**63), 2**63 - 1) | st.integers(-20, 200)
texts = st.text(max_size=8) | st.sampled_from(ODD) | integers.map(str)  # all of Unicode but surrogates


def array(values: set[int] | set[str]) -> np.ndarray:
    """Ascending ids."""
    is_text = any(isinstance(value, str) for value in values)
    return np.array(sorted(values), dtype=object if is_text else np.int64)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ids") / "ids.parquet"


@given(st.sets(texts, min_size=1) | st.sets(integers))
def test_saved_ids_read_back_in_their_order(file, values):
    ids.save(file, array(values))
    read = ids.load(file)
    assert read.tolist() == sorted(values)
    assert read.dtype == array(values).dtype


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        ids.load(tmp_path / "ids.parquet")
    assert error.value.filename == str(tmp_path / "ids.parquet")


@given(st.sets(texts, min_size=1), st.lists(texts))
def test_each_text_has_its_own_row(values, others):
    known = array(values)
    asked = [*values, *others]
    expected = [sorted(values).index(value) if value in values else -1 for value in asked]
    assert ids.rows_of(np.array(asked, dtype=object), known).tolist() == expected
    assert [-1 if (row := ids.row_of(value, known)) is None else row for value in asked] == expected


@given(st.sets(integers, min_size=1), st.lists(integers))
def test_each_integer_has_its_own_row_as_a_number_and_as_its_digits(values, others):
    known = array(values)
    asked = [*values, *others]
    expected = [sorted(values).index(value) if value in values else -1 for value in asked]
    assert ids.rows_of(np.array(asked, dtype=np.int64), known).tolist() == expected
    for form in (int, str):
        assert [-1 if (row := ids.row_of(form(value), known)) is None else row for value in asked] == expected


@given(integers)
def test_an_integer_is_found_among_texts_by_its_digits(number):
    assert ids.row_of(number, array({str(number), "x"})) == sorted([str(number), "x"]).index(str(number))


@given(texts)
def test_only_the_usual_form_of_an_integer_is_one(text):
    value = ids.convert(text, np.arange(3))
    assert str(value) == text
    usual = re.fullmatch("0|-?[1-9][0-9]*", text)
    assert isinstance(value, int) == bool(usual and -(2**63) <= int(text) < 2**63)


@pytest.mark.parametrize("text", ["007", "+7", "7 ", " 7", "7.0", "1e3", "-0", "1_000", "\u0667", "", "x", "9" * 5000])
def test_texts_that_only_resemble_an_integer_are_unknown(text):
    assert ids.row_of(text, np.array([-7, 0, 7, 1000])) is None


def test_ids_of_the_other_kind_have_no_row():
    assert ids.rows_of(np.array(["7"], dtype=object), np.array([7])).tolist() == [-1]
    assert ids.rows_of(np.array([7]), np.array(["7"], dtype=object)).tolist() == [-1]


@given(st.sets(integers), st.integers(0, 10**20).map(str) | st.from_regex(r"\A-?[1-9][0-9]{0,3}\Z"))
def test_integers_are_found_by_their_first_digits(values, prefix):
    values |= {0, 1, 5, 12, 15, 123, 129, 1200, 2**63 - 1, -12, -125, -(2**63)}
    expected = {value for value in values if str(value).startswith(prefix)}
    assert set(ids.starting_with(prefix, array(values), 1000)) == expected
    assert len(ids.starting_with(prefix, array(values), 2)) == min(2, len(expected))


@given(st.sets(texts, min_size=1), texts.filter(bool))
def test_texts_are_found_by_their_first_characters(values, prefix):
    values |= {prefix, prefix + "a", prefix + "\U0010ffff"}
    expected = sorted(value for value in values if value.startswith(prefix))
    assert ids.starting_with(prefix, array(values), 1000) == expected
    assert ids.starting_with(prefix, array(values), 2) == expected[:2]


@pytest.mark.parametrize("prefix", ["x", "1x", "-", "--1", "+1", " 1", "\uff11", "9" * 200])
def test_no_integer_starts_with_what_is_no_integer(prefix):
    assert ids.starting_with(prefix, np.arange(-20, 20), 5) == []


def test_a_million_texts_take_seconds(file):
    """Measured 3 s on two cores."""
    known = np.array([f"user-{i:07d}" for i in range(1_000_000)], dtype=object)
    start = time.perf_counter()
    ids.save(file, known)
    read = ids.load(file)
    assert np.array_equal(read, known)
    assert (ids.rows_of(read[::-1], known) == np.arange(1_000_000)[::-1]).all()
    assert time.perf_counter() - start < 30
