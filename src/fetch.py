"""Fetch the data set that `data` names: CSV files of the KION schema and a manifest of their rows and hashes."""

from pathlib import Path
from typing import Annotated

from retrieval.params import Line, Section, Seed, one_of
from retrieval.sources import SOURCES
from retrieval.sources.kion import Kion
from retrieval.sources.movielens import MovieLens
from retrieval.sources.synthetic import Synthetic
from retrieval.stage import folder, run, sha256, write_json


class FetchParams(Section):
    """The parameters that `fetch` reads."""

    data: Annotated[str, one_of(SOURCES)]
    folder: Line
    seed: Seed
    movielens: MovieLens
    kion: Kion
    synthetic: Synthetic


def main(params: FetchParams, out: Path) -> None:
    """The data source -> data/raw."""
    source = SOURCES[params.data]
    with folder(out) as aside:
        rows = source.fetch(params, aside)
        files = {name: {"rows": count, "sha256": sha256(aside / name)} for name, count in rows.items()}
        write_json(aside / "manifest.json", {"source": params.data, "split": source.split, "files": files})


if __name__ == "__main__":
    run(main)
