"""benchmarks/ and studies/, which no stage runs: that their imports and their parameters follow the code."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "studies")
LIGHTNING = {"peers", "quality"}  # need pytorch_lightning, which the environment of the tests lacks


def test_every_script_can_be_imported_and_its_parameters_are_valid():
    names = {path.stem for folder in FOLDERS for path in (ROOT / folder).glob("*.py")}
    names -= LIGHTNING if find_spec("pytorch_lightning") is None else set()
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", *FOLDERS))
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(sorted(names))}"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
