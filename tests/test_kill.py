"""After a kill at any moment, the next run ends in the bytes of an uninterrupted one."""

import os
import random
import signal
import subprocess
import time

import pytest
from kill import measure, results, trial
from repositories import environment, files, run, set_params

TRAIN = ("python", "src/train_dssm.py", "data/features", "models/dssm", "models/dssm.run.json")


def test_training_resumes_after_a_kill_and_ends_in_the_same_bytes(project):
    set_params(project, {"train.epochs": 40})
    run(project, *TRAIN)
    expected = files(project, "models/dssm")
    before = files(project, "models", "metrics")
    training = subprocess.Popen(TRAIN, cwd=project, env=environment(project), stdout=subprocess.DEVNULL)
    while not list(project.glob(".checkpoints/*.safetensors")):
        assert training.poll() is None
        time.sleep(0.005)
    os.kill(training.pid, signal.SIGKILL)
    assert training.wait() == -signal.SIGKILL
    assert files(project, "models", "metrics") == before, "no partial files"
    assert "continuing after epoch" in run(project, *TRAIN).stdout
    assert files(project, "models/dssm") == expected
    assert not list(project.glob(".checkpoints/*")), "finished runs delete their checkpoints"


@pytest.mark.slow
def test_kills_at_random_moments_end_in_the_reference(project):
    rng, reference = random.Random(1), results(project)
    durations = measure(project)
    for _ in range(len(durations)):
        trial(project, reference, rng, durations)
