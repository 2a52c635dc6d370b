"""benchmarks/ and studies/, which no stage runs: that their imports and their parameters follow the code."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "studies")
LIGHTNING = {"peers", "quality", "sequences"}  # need pytorch_lightning, which the environment of the tests lacks


def run(code: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", *FOLDERS))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_every_script_can_be_imported_and_its_parameters_are_valid() -> None:
    names = {path.stem for folder in FOLDERS for path in (ROOT / folder).glob("*.py")}
    names -= LIGHTNING if find_spec("pytorch_lightning") is None else set()
    done = run(f"import {', '.join(sorted(names))}")
    assert done.returncode == 0, done.stderr


def test_the_worlds_of_the_benchmarks_have_what_the_code_reads(tmp_path: Path) -> None:
    code = f"""
import recommend, training
from pathlib import Path
training.USERS = training.BATCH = 256
training.ours(training.world(), count=1, epochs=1)
recommend.write(Path({str(tmp_path / "models")!r}), scale=0.001)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "random" / "card.json").exists()
