"""Opens the index that a search backend uses for a model: a FAISS file or a collection of a vector database."""

import os
import re
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
    """A vector database: its URL, or the folder of Milvus Lite; credentials, and the seconds that a query may take."""

    url: str
    token: str
    timeout: float

    @property
    def is_embedded(self) -> bool:
        """Whether it is Milvus Lite, which runs in this process and keeps its folder to itself."""
        return re.match(r"(unix|tcp|https?):", self.url) is None

    def check(self) -> None:
        """Raise `Problem` if Milvus Lite cannot have this folder. Quick: opens nothing."""
        path = Path(self.url)
        if not self.is_embedded:
            return
        if path.suffix != ".db":
            raise Problem(f"database: {path}: expected a URL, such as https://HOST:19530, or a folder NAME.db")
        if not path.parent.is_dir():
            raise Problem(f"database: {path}: the folder {path.parent} does not exist")
        if path.exists() and not path.is_dir():
            raise Problem(f"database: {path}: is a file, expected a folder of Milvus Lite, or nothing")
        if path.exists() and any(path.iterdir()) and not (path / "LOCK").exists():
            raise Problem(f"database: {path}: a folder with other files, expected one of Milvus Lite, or nothing")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Problem(f"database: {path}: cannot be written: permission denied")


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
    return fitted, Milvus(database, collection, points, hnsw)


def _read(path: Path, model: Model) -> tuple[dict[str, Any], space.Space]:
    card = read_card(path / "index.json", REMEDY)
    if card["model"] != model.card["files"]:
        raise Problem(f"{path}: built from another version of {model.name}; {REMEDY}")
    return card, space.load(path / "space.npz")
