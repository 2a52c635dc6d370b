"""A planted world with models and indexes, and its models as the service loads them."""

import shutil
from collections.abc import Callable
from pathlib import Path

from retrieval import matrices
from retrieval.search import catalogue
from retrieval.search.backends import Database, open_index
from retrieval.search.catalogue import Catalogue
from retrieval.search.recommender import Recommender

import numpy as np
import pytest
from worlds import USERS, write_world

Lists = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return write_world(tmp_path_factory.mktemp("search") / "world")


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    """A copy of the world, to do anything with."""
    return Path(shutil.copytree(world, tmp_path / "world"))


@pytest.fixture(scope="session")
def items_and_users(world: Path) -> Catalogue:
    """The world's catalogue."""
    return catalogue.load(world / "models" / "catalogue")


@pytest.fixture(scope="session")
def recommender() -> Callable[..., Recommender]:
    """recommender(world, name, backend="exact", url="", timeout=300): a model of a world."""

    def load(world: Path, name: str, backend: str = "exact", url: str = "", timeout: float = 300) -> Recommender:
        models = world / "models"
        model = matrices.load(models / name)
        nearest = open_index(backend, models / "indexes" / name, model, Database(url, "", timeout))
        return Recommender(models / name, model, nearest)

    return load


@pytest.fixture(scope="session")
def lists(items_and_users: Catalogue) -> Callable[[Recommender, int], Lists]:
    """lists(recommender, k): the k best unseen items of every user."""

    def best(recommender: Recommender, k: int) -> Lists:
        left, history = recommender.model.left, items_and_users.history
        return [recommender.best(left[[user]], history(user)[0], k) for user in range(USERS)]

    return best
