"""benchmarks/ and studies/, which no stage runs: that their imports and their parameters follow the code."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "studies")


def test_every_script_can_be_imported_and_its_parameters_are_valid():
    names = [path.stem for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", *FOLDERS))
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
