"""The requirements are pinned and consistent; the Makefile installs what each target needs and lists every target."""

import os
import re
import subprocess
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)[1].split()
FILES = [ROOT / "requirements.txt", *sorted((ROOT / "requirements").glob("*.txt"))]
EXTRAS = {"test": "test", "test-quick": "test", "test-slow": "test", "lint": "lint", "serve": "serve", "bench": "bench"}


def lines(file: Path) -> list[str]:
    """The lines of a requirements file without comments and includes."""
    text = file.read_text(encoding="utf-8").splitlines()
    return [line for line in text if line and not line.startswith(("#", "-r "))]


def included(file: Path) -> set[Path]:
    """A requirements file and those that it includes."""
    others = re.findall(r"^-r (.+)$", file.read_text(encoding="utf-8"), re.M)
    return {file}.union(*(included((file.parent / other).resolve()) for other in others))


def pins(files: set[Path]) -> list[Requirement]:
    """The pins that apply to this Python."""
    found = [Requirement(line) for file in files for line in lines(file)]
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_requirement_is_one_exact_version(file):
    for line in lines(file):
        assert re.match(r"^[\w.\-]+(\[\w+\])?==[\w.]+( ; .+)?$", line), line


def test_a_package_appears_once():
    named = [canonicalize_name(pin.name) for pin in pins(set(FILES))]
    assert sorted(named) == sorted(set(named))


def test_every_file_includes_the_pipeline():
    """So that installing it never changes a version that the pipeline pins."""
    for file in FILES:
        assert ROOT / "requirements.txt" in included(file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_the_packages_require_is_pinned_too(file):
    """In the same file or in one that it includes. A CUDA build of torch pins its own libraries."""
    pinned = {canonicalize_name(pin.name) for pin in pins(included(file))}
    for pin in pins({file}):
        try:
            needs = [Requirement(line) for line in requires(pin.name) or []]
        except PackageNotFoundError:  # of a command that has not been used in this environment
            continue
        for need in needs:
            applies = need.marker is None or any(need.marker.evaluate({"extra": each}) for each in ("", *pin.extras))
            cuda = pin.name == "torch" and need.name.startswith(("nvidia", "cuda", "triton"))
            assert not applies or cuda or canonicalize_name(need.name) in pinned, f"{pin.name} requires {need}"


def make(*arguments: str) -> str:
    """What make prints, whether or not another make runs the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    run = subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def test_help_lists_every_target():
    listed = [line.split()[1] for line in make("help").splitlines()]
    assert listed == re.findall(r"^([a-z-]+):", MAKEFILE, re.M)
    assert set(listed) == set(TARGETS)


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"clean", "help"}))
def test_a_target_installs_only_what_it_needs(target):
    """`--what-if` makes an existing environment count as out of date."""
    installed = re.findall(r"--requirement (\S+)", make("--dry-run", "--what-if=requirements.txt", target))
    extra = [f"requirements/{EXTRAS[target]}.txt"] if target in EXTRAS else []
    assert installed == ["requirements.txt", *extra]


def test_repro_is_the_default_target():
    assert make("--dry-run") == make("--dry-run", "repro")
