"""Opens the index that a search backend uses for a model: a FAISS file or a collection of a vector database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.matrices import Model
from retrieval.search import space
from retrieval.search.catalogue import REMEDY
from retrieval.search.indexes import INDEXES, Faiss, Index, Indexes, has_index
from retrieval.stage import read_card, sha256

import numpy as np


@dataclass(frozen=True)
class Database:
    """A vector database: its URL or file, its credentials, and the seconds that a query may take."""

    url: str
    token: str
    timeout: float


def open_index(backend: str, path: Path, model: Model, database: Database) -> tuple[space.Space, Index] | None:
    """The model's index and the space it lies in; None for exact search.

    `path` is the model's folder under models/indexes. `backend` is exact, milvus or a name in `INDEXES`. Models that
    cannot be indexed are searched exactly. Raises `Problem` if the files are missing, changed, or of another model.
    """
    if backend == "exact" or not has_index(model):
        return None
    card, fitted = _read(path, model)
    if backend in INDEXES:
        return fitted, Faiss(path / f"{backend}.faiss")
    from retrieval.search.milvus import Milvus

    collection = f"{model.name}_{sha256(path / 'index.json')[:12]}"
    points = fitted.items(np.asarray(model.right))
    hnsw = Indexes.model_validate(card["params"]).hnsw
    return fitted, Milvus(database.url, database.token, collection, points, hnsw, database.timeout)


def _read(path: Path, model: Model) -> tuple[dict[str, Any], space.Space]:
    card = read_card(path / "index.json", REMEDY)
    if card["model"] != model.card["files"]:
        raise Problem(f"{path}: built from another version of {model.name}; {REMEDY}")
    return card, space.load(path / "space.npz")
