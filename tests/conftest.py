"""Isolation: each test has an empty download cache, and DVC runs in temporary repositories, never in this one."""

import shutil
from pathlib import Path

import pytest
import repositories
from filelock import FileLock
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

HEAVY_FIXTURES = {"finished", "browser"}  # a repository in which DVC has run, and Chromium
# Files with many trainings or processes of their own
HEAVY_FILES = {
    "test_loop",
    "test_machines",
    "test_processes",
    "test_search",
    "test_settings",
    "test_setup",
    "test_sharing",
    "test_torchrun",
    "test_workers",
}


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark the tests that `make test-quick` leaves out."""
    for item in items:
        if HEAVY_FIXTURES & set(item.fixturenames) or item.path.stem in HEAVY_FILES:
            item.add_marker(pytest.mark.heavy)


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
