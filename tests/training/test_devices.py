"""Training on a GPU, which the tests do not have: nothing mixes tensors of two devices. See `pretended`."""

from typing import Any

from retrieval.training.loop import fit
from retrieval.training.losses import LOSSES
from retrieval.training.rehearsal import resolve_by_rehearsal
from retrieval.training.weighing import blended
from retrieval.training.workers import Workers

import pytest
import torch
from pretended import pretended_gpu
from worlds import chain, features_of, training_params

FEATURES = chain(40, 30, 8, seed=1)
CHOICES: list[dict[str, Any]] = [
    *[{"loss": loss} for loss in LOSSES],
    *[{"history": history} for history in ("gru", "transformer")],
    *[{"architecture": architecture} for architecture in ("batchnorm", "layernorm", "transformer")],
    *[{"loss": "bpr", "kind": kind} for kind in ("popularity", "in-batch", "mixed")],
    {"shared": 5},
    {"targets": "one"},
    {"tied": False, "dropout": 0.2, "id_dropout": 0.1, "average": 0.9},
    {"patience": 2, "holdout": 0.5, "popularity": "auto", "weight": "auto"},
]


@pytest.fixture
def gpu(monkeypatch):
    with pretended_gpu(monkeypatch) as device:
        yield device


def workers_on(device: torch.device) -> Workers:
    workers = Workers()
    workers.device = device
    return workers


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_choice_trains_on_one_device_and_ends_as_on_the_cpu(choice, request):
    params = training_params(FEATURES, **({"epochs": 2, "precision": "float64"} | choice))
    there = None if choice.get("dropout") else blended(params, FEATURES, fit(params, FEATURES).model)[1]
    model = fit(params, FEATURES, workers=workers_on(request.getfixturevalue("gpu"))).model
    assert {weight.device.type for weight in (*model.parameters(), *model.buffers()) if weight.numel()} == {"cuda"}
    found = blended(params, FEATURES, model)[1]
    if there is not None:  # dropout draws other numbers on a GPU
        assert found.right == pytest.approx(there.right, abs=1e-4)
        assert found.left == pytest.approx(there.left, abs=1e-4)


def test_a_training_with_a_rehearsal_goes_on_from_its_checkpoint(gpu, tmp_path, capsys):
    sequences = [[(user + step) % 12 for step in range(6)] for user in range(60)]
    features = features_of(sequences, 12, days=[[3.0 * step for step in range(6)]] * 60)
    features.spec.update(split="days", days=7)
    asked = training_params(features, epochs=1, precision="float64")
    asked = asked.model_copy(update={"trend": asked.trend.model_copy(update={"user_weight": "auto"})})
    params = resolve_by_rehearsal(asked, features, workers=workers_on(gpu))
    assert "usual weights" in capsys.readouterr().err
    path = tmp_path / "dssm.safetensors"
    fit(params, features, path, workers_on(gpu))
    more = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 2})})
    model, history, _ = fit(more, features, path, workers_on(gpu))
    assert [line["epoch"] for line in history] == [1, 2]
    assert blended(more, features, model)[1].left.shape[0] == 60


def test_what_a_gpu_refuses_is_refused(gpu):
    here, there = torch.ones(3), torch.ones(3, device=gpu)
    index = torch.zeros(1, dtype=torch.long)
    assert (there[index] + torch.tensor(1.0) + there.cpu().to(gpu)).device == gpu
    for refused in (
        lambda: here + there,
        lambda: here[index.to(gpu)],
        lambda: there.numpy(),
        lambda: torch.rand(3, generator=torch.Generator(), device=gpu),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            refused()
