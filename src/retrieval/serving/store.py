"""The data of the service: the catalogue and the models, checked against each other and immutable."""

from dataclasses import dataclass

from retrieval.errors import Problem, choices
from retrieval.search.backends import Database, open_index
from retrieval.search.catalogue import Catalogue, extended
from retrieval.search.catalogue import load as load_catalogue
from retrieval.search.recommender import Recommender, load_model
from retrieval.serving.settings import Settings
from retrieval.stage import sha256

import pyarrow as pa


@dataclass(frozen=True)
class Store:
    """Models by name, the catalogue of their rows, and a version that changes with any file of them."""

    models: dict[str, Recommender]
    catalogue: Catalogue
    version: str

    def with_items(self, table: pa.Table) -> "Store":
        """This store with more new items, see `catalogue.extended`."""
        if not len(table):
            return self
        catalogue = extended(self.catalogue, table)
        models = {name: each.with_items(catalogue.new) for name, each in self.models.items()}
        return Store(models, catalogue, self.version)


def load(settings: Settings) -> Store:
    """Read the catalogue and the models to serve. Raises `Problem` if a folder is broken or does not fit the others."""
    folder = settings.models
    catalogue = load_catalogue(folder / "catalogue")
    available = sorted(card.parent.name for card in folder.glob("[!.]*/card.json"))
    names = settings.serve or available
    for name in (*names, settings.default, settings.fallback):
        if name not in available:
            raise Problem(f"{folder / name}: no such model; {choices(name, available)}")
        if name not in names:
            raise Problem(f"{folder / name}: default and fallback must be among the models of --serve")
    models = {name: _recommender(settings, name, catalogue) for name in names}
    cards = [folder / "catalogue" / "catalogue.json", *(folder / name / "card.json" for name in names)]
    return Store(models, catalogue, "+".join(sha256(card)[:12] for card in cards))


def _recommender(settings: Settings, name: str, catalogue: Catalogue) -> Recommender:
    path = settings.models / name
    model = load_model(path, catalogue)
    database = Database(settings.database, settings.database_token.get_secret_value(), settings.timeout / 2)
    nearest = open_index(settings.backend, settings.models / "indexes" / model.name, model, database)
    return Recommender(path, model, nearest).with_items(catalogue.new)
