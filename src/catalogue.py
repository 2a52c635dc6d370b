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
        tables = (read_table(prepared / f"{name}.parquet") for name in ("items", "new_items"))
        write(aside, histories.load(features), *tables)


if __name__ == "__main__":
    run(main)
