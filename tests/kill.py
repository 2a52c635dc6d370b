"""Kill `dvc repro` at random moments and check that the next run always ends in the reference result.

    python tests/kill.py --kills 200        (or: make test-kill)

Each round forces a stage to run, for which DVC first deletes its outputs, and kills it with all its processes (SIGKILL)
after a random time, one to three times. Then the pipeline runs to its end as in `make repro`, and its data, weights,
metrics and plots must have the bytes of an uninterrupted run.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import repositories

STARTUP = 1.0  # seconds that importing DVC takes; before that a kill cannot break anything
RESULTS = ("data/raw", "data/prepared", "data/features", "models", "metrics", "plots")


def results(root: Path) -> dict[str, bytes]:
    """Path -> bytes of all outputs, without run cards, which contain the running time, and leftover partial files."""
    files = repositories.files(root, *RESULTS).items()
    return {name: data for name, data in files if not name.endswith(".run.json") and ".partial" not in name}


def kill(root: Path, stage: str, seconds: float) -> bool:
    """Force the stage to run and kill it after so many seconds. Return whether it was still running."""
    repositories.python(root, "-m", "retrieval.experiments.lock")
    command = ["dvc", "repro", "--force", "--single-item", stage]
    environment = repositories.environment(root)
    with (root.parent / "log").open("a") as log:
        run = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            return True
    return False


def trial(root: Path, reference: dict[str, bytes], rng: random.Random, durations: dict[str, float]) -> tuple[str, int]:
    """Kill a stage one to three times and compare the next run with the reference. Return the stage and the kills."""
    stage = rng.choice(list(durations))
    # With the run cache the next run would only fetch earlier outputs.
    shutil.rmtree(root / ".dvc" / "cache" / "runs", ignore_errors=True)
    kills = sum(kill(root, stage, rng.uniform(STARTUP, durations[stage])) for _ in range(rng.randint(1, 3)))
    repositories.python(root, "-m", "retrieval.experiments.lock")
    output = repositories.dvc(root, "repro")
    outputs = results(root)
    different = [name for name in sorted(outputs.keys() | reference.keys()) if outputs.get(name) != reference.get(name)]
    assert not different, f"{stage}: {different}\n{output}"
    return stage, kills


def measure(root: Path) -> dict[str, float]:
    """Stage -> seconds that it takes."""
    durations = {}
    for stage in repositories.dvc(root, "stage", "list", "--name-only").split():
        start = time.perf_counter()
        repositories.dvc(root, "repro", "--force", "--single-item", stage)
        durations[stage] = time.perf_counter() - start
    return durations


def main() -> None:
    """Make a repository of the small world and run trials in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="number of kills (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of stages and moments (default: 0)")
    options = parser.parse_args()
    rng, folder = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kill-"))
    root = repositories.repository(folder / "repository")
    repositories.dvc(root, "repro")
    repositories.commit(root, "Results")
    reference = results(root)
    durations = measure(root)
    counts = dict.fromkeys(durations, 0)
    while sum(counts.values()) < options.kills:
        stage, kills = trial(root, reference, rng, durations)
        counts[stage] += kills
        print(f"{sum(counts.values())} kills, all runs ended in the reference; {counts}", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
