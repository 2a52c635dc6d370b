"""Fetch the data set that `data` names: typed parquet files and a manifest of their rows and hashes."""

import sys
from pathlib import Path
from typing import Annotated

from retrieval.params import Line, Section, Seed, one_of
from retrieval.sources import SOURCES
from retrieval.sources.kion import Kion
from retrieval.sources.mapping import Mapping
from retrieval.sources.movielens import MovieLens
from retrieval.sources.synthetic import Synthetic
from retrieval.stage import folder, run, sha256, write_json


class FetchParams(Section):
    """The parameters that `fetch` reads."""

    data: Annotated[str, one_of(SOURCES)]
    folder: Line
    mapping: Mapping
    seed: Seed
    movielens: MovieLens
    kion: Kion
    synthetic: Synthetic


def main(params: FetchParams, out: Path) -> None:
    """The data source -> data/raw."""
    source = SOURCES[params.data]
    with folder(out) as aside:
        raw = source.fetch(params, aside)
        for line in raw.said:
            print(f"fetch: {line}", file=sys.stderr)
        manifest = {
            "source": params.data,
            "folder": params.folder if params.data == "folder" else None,
            "split": source.split if raw.timed else "leave-last",
            "timed": raw.timed,
            "columns": source.columns,
            "files": {name: {"rows": count, "sha256": sha256(aside / name)} for name, count in raw.rows.items()},
            "said": raw.said,
        }
        write_json(aside / "manifest.json", manifest)


if __name__ == "__main__":
    run(main)
