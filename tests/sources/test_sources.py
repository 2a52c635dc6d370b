"""The table of sources: every source names a split, and has columns unless nobody knows them."""

from retrieval.preparation.split import SPLITS
from retrieval.sources import SOURCES

import pytest


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_names_a_split_and_lists_of_columns(name: str) -> None:
    source = SOURCES[name]
    assert source.split in SPLITS
    assert source.columns is None or set(source.columns) == {"user", "item"}


def test_of_a_folder_all_columns_are_used() -> None:
    assert SOURCES["folder"].columns is None
