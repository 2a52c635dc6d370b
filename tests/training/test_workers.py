"""Several processes train as one does: the same loss, the same weights, whatever the loss and the negatives."""

import json
import os
import subprocess
import sys
from pathlib import Path

from retrieval import histories
from retrieval.dssm.batches import Batches

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from worlds import chain, rows, seen, world

ROOT = Path(__file__).parents[2]
STEPS = {"epochs": 3, "batch": 64, "patience": 0}


def test_the_rows_of_a_batch_keep_their_targets_and_what_they_have_seen():
    sampler = Batches(world([3, 1, 4, 2]), 10, 100)
    (batch,) = sampler.sequences(torch.Generator().manual_seed(0))
    for chosen in ([0, 2], [1], [0, 1, 2, 3]):
        part, targets = batch.rows(torch.tensor(chosen))
        assert list(rows(part)) == [row for i, row in enumerate(rows(batch)) if i in targets.tolist()]
        assert [seen(part, i) for i in range(len(targets))] == [seen(batch, i) for i in targets.tolist()]
        assert set(batch.row[targets].tolist()) == set(chosen)


def train(folder: Path, processes: int, **changes) -> tuple[list, dict[str, torch.Tensor]]:
    """Train by the stage's script in a folder of its own; the history, and the weights."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["towers"] |= {"width": 8, "dropout": 0.0, "id_dropout": 0.0, "length": 12}
    params["train"] |= STEPS | changes.pop("train", {})
    features = chain(users=90, items=30, length=8, seed=0)
    features.spec.update(changes.pop("spec", {}))
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params | changes), encoding="utf-8")
    (folder / "features").mkdir()
    histories.save(folder / "features", features)
    script = [str(ROOT / "src" / "train_dssm.py"), "features", "dssm", "card.json"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(torchrun if processes > 1 else []), *script]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    assert run.returncode == 0, run.stderr
    assert not (folder / ".checkpoints").is_dir() or not list((folder / ".checkpoints").iterdir())
    history = json.loads((folder / "dssm" / "history.json").read_text(encoding="utf-8"))
    return history, load_file(folder / "dssm" / "towers.safetensors")


DRAWN = {"kind": "mixed", "count": 5, "logq": True, "exclude_seen": True, "shared": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "softmax", "train": {"patience": 2, "holdout": 0.5}},
        {"loss": "softmax", "negatives": DRAWN | {"shared": 5}},
        {"loss": "sampled_softmax", "negatives": DRAWN},
        {"loss": "triplet", "history": "bag", "train": {"targets": "one"}},
        {"spec": {"split": "days", "days": 2}, "train": {"patience": 2}},  # a rehearsal comes first
    ],
)
def test_two_processes_train_as_one(tmp_path, changes):
    """Sums are in another order, so that the last bits differ: nothing more."""
    one, weights = train(tmp_path / "one", 1, **changes)
    two, others = train(tmp_path / "two", 2, **changes)
    assert len(one) == len(two)
    for line, other in zip(one, two, strict=True):
        assert other == pytest.approx(line, rel=1e-3)
    for name, weight in weights.items():
        assert np.allclose(weight, others[name], atol=2e-3), name


def test_batchnorm_and_tiny_batches_end_in_one_model(tmp_path):
    """Statistics are of half a batch, so that curves differ; batches of a row leave one process without work."""
    history, weights = train(tmp_path / "two", 2, architecture="batchnorm", train={"batch": 5, "patience": 2})
    assert all(np.isfinite([line["loss"], line["validation"]]).all() for line in history)
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path, monkeypatch):
    """Neither the model nor its run card: two that wrote one file would move each other's half-written one."""
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(FileNotFoundError, match=r"history\.json"):
        train(tmp_path / "second", 1)
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == ["features", "params.yaml"]
