"""The data of the service: the catalogue and the models, checked against each other and immutable."""

import logging
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import Problem, choices
from retrieval.matrices import Model
from retrieval.search.backends import Database, open_index
from retrieval.search.catalogue import Catalogue, extended
from retrieval.search.catalogue import load as load_catalogue
from retrieval.search.recommender import Recommender, load_model
from retrieval.serving.settings import Settings
from retrieval.stage import sha256

import pyarrow as pa

CATALOGUE = ""  # its place among the cards

log = logging.getLogger("retrieval.service")


@dataclass(frozen=True)
class Store:
    """Models by name, the catalogue of their rows, and the hash of each one's card, with "" for the catalogue."""

    models: dict[str, Recommender]
    catalogue: Catalogue
    cards: dict[str, str]

    @property
    def version(self) -> str:
        """Changes with any file of the models and of the catalogue."""
        return "+".join(card[:12] for card in self.cards.values())

    def with_items(self, table: pa.Table) -> "Store":
        """This store with more new items, see `catalogue.extended`."""
        if not len(table):
            return self
        catalogue = extended(self.catalogue, table)
        models = {name: each.with_items(catalogue.new) for name, each in self.models.items()}
        return Store(models, catalogue, self.cards)


def load(settings: Settings) -> Store:
    """Read the catalogue and the models to serve. Raises `Problem` if a folder is broken or does not fit the others."""
    database = Database(settings.database, settings.database_token.get_secret_value(), settings.timeout / 2)
    if settings.backend == "milvus":
        database.check()
        if settings.workers > 1 and database.is_embedded:
            raise Problem(f"database: {database.url}: one process can open it, and workers is {settings.workers}")
    catalogue = load_catalogue(settings.models / "catalogue")
    folders = _folders(settings)
    models = {
        name: _recommender(path, load_model(path, catalogue), settings.backend, database).with_items(catalogue.new)
        for name, path in folders.items()
    }
    cards = {name: sha256(path / "card.json") for name, path in folders.items()}
    return Store(models, catalogue, {CATALOGUE: sha256(settings.models / "catalogue" / "catalogue.json"), **cards})


def _folders(settings: Settings) -> dict[str, Path]:
    """Name -> folder of each model to serve."""
    models = settings.models
    available = sorted(card.parent.name for card in models.glob("[!.]*/card.json"))
    folders: dict[str, Path] = {}
    for each in settings.serve or available:
        name, _, path = each.partition("=")
        if not path and name not in available:
            raise Problem(f"{models / name}: no such model; {choices(name, available)}")
        if name in folders:
            raise Problem(f"serve: {name} appears twice")
        folders[name] = Path(path) if path else models / name
    for name in (settings.default, settings.fallback):
        if name not in (*folders, *available):
            raise Problem(f"{models / name}: no such model; {choices(name, available)}")
        if name not in folders:
            raise Problem(f"{models / name}: default and fallback must be among the models of --serve")
    return folders


def _recommender(path: Path, model: Model, backend: str, database: Database) -> Recommender:
    nearest = open_index(backend, path.parent / "indexes" / model.name, model, database)
    recommender = Recommender(path, model, nearest)
    if recommender.missing:
        log.warning("%s: %s is not installed: no profiles", path, recommender.missing)
    return recommender
