"""Equal bytes on every machine: other processors, of which variables stand in, and other numbers of threads."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from machines import MACHINES
from repositories import SMALL, files, set_params
from worlds import ROOT

TESTS = Path(__file__).parent


def outputs(root: Path, machine: str, cwd: Path) -> dict[str, bytes]:
    environment = os.environ | MACHINES[machine] | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(TESTS / "machines.py"), "params.yaml", str(root)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return files(root, ".")


def different(folder: Path) -> list[str]:
    """The files that are not equal on all machines, which are named after them."""
    results = {machine: outputs(folder / str(i), machine, folder) for i, machine in enumerate(MACHINES)}
    first, *others = results.values()
    assert any(name.startswith("plots/") for name in first)
    assert all(set(other) == set(first) for other in others)
    return [
        f"{name} ({machine})"
        for machine, result in results.items()
        for name in sorted(first)
        if result[name] != first[name]
    ]


def test_a_small_world_ends_in_the_same_bytes(tmp_path):
    """Its last days are the test, so that there is a trend, and there are users who are new."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, SMALL | {"history": "transformer", "item": "both", "architecture": "layernorm"})
    assert different(tmp_path) == []


@pytest.mark.slow
def test_the_default_data_end_in_the_same_bytes(tmp_path):
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    assert different(tmp_path) == []
