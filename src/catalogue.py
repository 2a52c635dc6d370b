"""Write what the service says of items and users: titles, histories, demographics."""

from pathlib import Path

from retrieval import histories
from retrieval.params import Section
from retrieval.search.catalogue import write
from retrieval.stage import folder, read_table, run


class CatalogueParams(Section):
    """`catalogue` reads no parameters."""


def main(params: CatalogueParams, prepared: Path, features: Path, out: Path) -> None:
    """data/prepared, data/features -> models/catalogue."""
    with folder(out) as aside:
        write(aside, histories.load(features), read_table(prepared / "items.parquet"))


if __name__ == "__main__":
    run(main)
