"""Which file of a folder is what, by name."""

import os
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources.finding import find
from retrieval.sources.mapping import AUTO, Mapping

import pytest


def found(folder: Path, names: str, **mapping: str) -> dict[str, str]:
    for name in names.split():
        (folder / name).touch() if not name.endswith("/") else (folder / name).mkdir()
    paths = find(folder, Mapping(**(AUTO | mapping)))
    return {name: str(path.relative_to(folder)) for name, path in paths.items()}


@pytest.mark.parametrize(
    ("names", "mapping", "expected"),
    [
        ("interactions.csv items.csv users.csv", {}, "interactions.csv items.csv users.csv"),
        ("interactions.csv.gz Items.CSV", {}, "interactions.csv.gz Items.CSV -"),
        ("interactions.csv ratings.csv events.csv", {}, "interactions.csv - -"),
        ("ratings.csv movies.csv links.csv tags.csv", {}, "ratings.csv movies.csv -"),
        ("ml-100k.inter ml-100k.item ml-100k.user", {}, "ml-100k.inter ml-100k.item ml-100k.user"),
        ("events/ items.parquet", {}, "events items.parquet -"),
        ("export_2021.csv items.csv README.md notes.txt .hidden.csv _SUCCESS", {}, "export_2021.csv items.csv -"),
        ("games.csv", {}, "games.csv - -"),
        ("ratings.dat ratings.csv", {}, "ratings.csv - -"),
        ("ratings.dat", {}, "ratings.dat - -"),
        ("a.csv b.csv c.csv", {"interactions": "b.csv", "users": "c.csv"}, "b.csv - c.csv"),
        ("interactions.csv items.csv users.csv", {"items": "none", "users": "none"}, "interactions.csv - -"),
        ("part-0.parquet part-1.parquet", {"interactions": "."}, ". - -"),
    ],
)
def test_files_are_found(tmp_path: Path, names: str, mapping: dict[str, str], expected: str) -> None:
    roles = zip(("interactions", "items", "users"), expected.split(), strict=True)
    assert found(tmp_path, names, **mapping) == {role: name for role, name in roles if name != "-"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", r"no data files; data=folder expects interactions\.csv .*: set folder=PATH"),
        ("items.csv users.csv", r"no data files beside items\.csv, users\.csv; data=folder expects"),
        ("a.csv b.csv", r"which of a\.csv, b\.csv has the interactions\? Set mapping\.interactions=NAME, or \. if all"),
        (
            "ratings.csv events.csv",
            r"events\.csv and ratings\.csv may both be the interactions: set mapping\.interactions",
        ),
        ("interactions.csv interactions.parquet", r"may both be the interactions: set mapping\.interactions=NAME"),
        (
            "interactions.csv films.csv books.csv",
            r"books\.csv and films\.csv may both be the items: set mapping",
        ),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path: Path, names: str, message: str) -> None:
    with pytest.raises(Problem, match=message):
        found(tmp_path, names)


def test_links_to_nothing_and_pipes_are_found_also_without_an_ending(tmp_path: Path) -> None:
    """Reading them is refused in one line; passed over, they would be missed in silence."""
    (tmp_path / "items").symlink_to("nowhere")
    os.mkfifo(tmp_path / "users")
    assert found(tmp_path, "interactions.csv") == {
        "interactions": "interactions.csv",
        "items": "items",
        "users": "users",
    }
