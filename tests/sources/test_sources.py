"""The table of sources: every source names a split, and the default is one of them."""

from pathlib import Path

from retrieval.params import load
from retrieval.preparation.split import SPLITS
from retrieval.sources import SOURCES

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def test_every_source_names_a_split() -> None:
    assert set(SOURCES) == {"movielens-100k", "kion", "kion-synthetic", "folder"}
    assert {source.split for source in SOURCES.values()} <= set(SPLITS)
    assert load(PARAMS)["data"] in SOURCES


def test_only_a_folder_has_columns_that_are_not_listed() -> None:
    assert {name for name, source in SOURCES.items() if source.columns is None} == {"folder"}
