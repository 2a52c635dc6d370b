"""What the service serves: the catalogue and the models, read, checked against each other, and never changed."""

import json
from dataclasses import dataclass

from retrieval import matrices
from retrieval.errors import Problem, choices
from retrieval.matrices import Model
from retrieval.search import space
from retrieval.search.catalogue import Catalogue
from retrieval.search.catalogue import load as load_catalogue
from retrieval.search.indexes import INDEXES, Faiss, Index, Indexes, has_index
from retrieval.search.recommender import Recommender
from retrieval.serving.settings import Settings
from retrieval.stage import sha256

import numpy as np


@dataclass(frozen=True)
class Store:
    """Models by name, the catalogue that their rows belong to, and a text that changes with any of their files."""

    models: dict[str, Recommender]
    catalogue: Catalogue
    version: str


def load(settings: Settings) -> Store:
    """Read every model folder that is served. Raises `Problem` where one is broken or does not fit the others."""
    folder = settings.models
    catalogue = load_catalogue(folder / "catalogue")
    there = sorted(card.parent.name for card in folder.glob("[!.]*/card.json"))
    names = settings.serve or there
    for name in {*names, settings.default, settings.fallback}:
        if name not in names or name not in there:
            raise Problem(f"{folder / name}: no such model is served; {choices(name, there)}")
    models = {}
    for name in names:
        path = folder / name
        model = matrices.load(path, verify=True)
        for side, ids in (("users", catalogue.users), ("items", catalogue.items)):
            if not np.array_equal(getattr(model, side), ids):
                raise Problem(f"{path / side}.npy: is not the catalogue's list of {side}; run dvc repro")
        models[name] = Recommender(path, model, catalogue, _nearest(settings, model))
    return Store(models, catalogue, "+".join(sha256(folder / name / "card.json")[:12] for name in names))


def _nearest(settings: Settings, model: Model) -> tuple[space.Space, Index] | None:
    if settings.backend == "exact" or not has_index(model):
        return None
    path = settings.models / "catalogue" / "indexes" / model.name
    try:
        card = json.loads((path / "index.json").read_text(encoding="utf-8"))
        fitted = space.load(path / "space.npz")
    except FileNotFoundError as error:
        raise Problem(f"{error.filename}: no such file; run dvc repro index") from None
    if card["model"] != model.card["files"]:
        raise Problem(f"{path}: is the index of another {model.name}; run dvc repro index")
    for name, expected in card["files"].items():
        if sha256(path / name) != expected:
            raise Problem(f"{path / name}: is not the file that index.json was written for; run dvc repro index")
    if settings.backend in INDEXES:
        return fitted, Faiss(path / f"{settings.backend}.faiss")
    from retrieval.search.milvus import Milvus

    name = f"{model.name}_{card['files']['space.npz'][:12]}"
    points = fitted.items(np.asarray(model.right))
    hnsw = Indexes.model_validate(card["params"]).hnsw
    return fitted, Milvus(
        settings.database, settings.database_token.get_secret_value(), name, points, hnsw, settings.timeout / 2
    )
