"""Kill `dvc repro` at random moments, over and over, and see that each time the next run ends in the reference result.

    python tests/kill.py --kills 200        (or: make test-kill)

Each round runs a stage by force, for which DVC deletes its outputs first, and kills it with all of its processes
(SIGKILL) after a random time, once to three times. Then the pipeline runs to its end as by `make repro`, and data,
weights, metrics and plots are compared with those of an uninterrupted run, byte by byte.
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

STARTED = 1.0  # seconds after which DVC has been imported; before that it cannot break anything
RESULTS = ("data/raw", "data/prepared", "data/features", "models", "metrics", "plots")


def results(root: Path) -> dict[str, bytes]:
    """The bytes of each output; not of run cards, which tell the time, nor of what was written aside and left there."""
    found = repositories.files(root, *RESULTS).items()
    return {name: data for name, data in found if not name.endswith(".run.json") and ".partial" not in name}


def kill(root: Path, stage: str, seconds: float) -> bool:
    """Run the stage anew and kill everything after so many seconds; whether it was still running."""
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


def trial(root: Path, reference: dict[str, bytes], rng: random.Random, longest: dict[str, float]) -> tuple[str, int]:
    """One stage, killed once to three times; raises AssertionError if the next run does not end in the reference."""
    stage = rng.choice(list(longest))
    # Without the run cache, or the next run would fetch what an earlier one made.
    shutil.rmtree(root / ".dvc" / "cache" / "runs", ignore_errors=True)
    kills = sum(kill(root, stage, rng.uniform(STARTED, longest[stage])) for _ in range(rng.randint(1, 3)))
    repositories.python(root, "-m", "retrieval.experiments.lock")
    output = repositories.dvc(root, "repro")
    now = results(root)
    wrong = [name for name in sorted(set(now) | set(reference)) if now.get(name) != reference.get(name)]
    assert not wrong, f"{stage}: {wrong}\n{output}"
    return stage, kills


def measure(root: Path) -> dict[str, float]:
    """How long each stage takes."""
    longest = {}
    for stage in repositories.dvc(root, "stage", "list", "--name-only").split():
        start = time.perf_counter()
        repositories.dvc(root, "repro", "--force", "--single-item", stage)
        longest[stage] = time.perf_counter() - start
    return longest


def main() -> None:
    """Make a repository of the small world and kill in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, folder = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kill-"))
    root = repositories.repository(folder / "repository")
    repositories.dvc(root, "repro")
    repositories.commit(root, "Results")
    reference = results(root)
    longest = measure(root)
    counts = dict.fromkeys(longest, 0)
    while sum(counts.values()) < options.kills:
        stage, kills = trial(root, reference, rng, longest)
        counts[stage] += kills
        print(f"{sum(counts.values())} kills, every one ended in the reference; {counts}", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
