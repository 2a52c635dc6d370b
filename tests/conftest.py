"""Isolation: each test has an empty download cache, and DVC runs in temporary repositories, never in this one."""

import inspect
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest
import repositories
from filelock import FileLock

TESTS = Path(__file__).parent
HEAVY_FIXTURES = {"finished", "browser"}  # a repository in which DVC has run, and Chromium
HEAVY_FILES = {TESTS / "training" / "test_loop.py"}  # trains dozens of models


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark as `heavy` the tests that train many models or start DVC, the service, a browser or another process."""
    for item in items:
        needs = HEAVY_FIXTURES & set(item.fixturenames)
        if needs or item.path in HEAVY_FILES or uses_subprocess(item.function, set()):
            item.add_marker(pytest.mark.heavy)


def uses_subprocess(function: Callable, visited: set[Callable]) -> bool:
    """Whether a test, or a helper in tests/ that it calls, uses the module `subprocess`."""
    function = inspect.unwrap(function)
    if function in visited or not Path(function.__code__.co_filename).is_relative_to(TESTS):
        return False
    visited.add(function)
    used = [function.__globals__.get(name) for name in names(function.__code__)]
    helpers = (each for each in used if isinstance(each, FunctionType))
    return any(each is subprocess for each in used) or any(uses_subprocess(each, visited) for each in helpers)


def names(code: CodeType) -> Iterator[str]:
    """The global names in a function's code and in the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of this test, empty."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A repository in which the pipeline has run and its results are committed; only to be read, or copied.

    Workers that run tests side by side share it: the first makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "finished" / "repository"
    with FileLock(root.parent.with_suffix(".lock")):
        if not root.exists():
            repositories.repository(root)
            repositories.dvc(root, "repro")
            repositories.commit(root, "Results")
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished repository, to do anything with."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


@pytest.fixture(scope="session")
def experimented(finished: Path) -> Path:
    """A copy of the finished repository with the experiment `other`, of another loss; only to be read."""
    root = finished.parents[1] / "experimented" / "repository"
    with FileLock(root.parent.with_suffix(".lock")):
        if not root.exists():
            shutil.copytree(finished, root)
            repositories.dvc(root, "exp", "run", "--name", "other", "--set-param", "loss=bpr")
            repositories.run(root, "git", "checkout", "--quiet", ".")
            repositories.dvc(root, "checkout")
    return root
