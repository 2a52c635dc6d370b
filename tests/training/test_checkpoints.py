"""Checkpoints: an interrupted training ends in the bytes of an uninterrupted one, and finds no other one's state."""

from retrieval.dssm.model import DSSM
from retrieval.training import checkpoints, loop
from retrieval.training.checkpoints import Checkpoint, checkpoint_path
from retrieval.training.loop import fit

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from worlds import chain, training_params

WORLD = chain(users=60, items=12, length=6, seed=0)
PATIENT = {"epochs": 6, "average": 0.9, "patience": 2, "holdout": 0.5, "schedule": "cosine"}


def train(path, options):
    return fit(training_params(WORLD, loss="bpr", length=6, dropout=0.3, seed=7, **options), WORLD, path)[:2]


class OtherWeights(DSSM):
    """The model, from weights of another seed."""

    def __init__(self, features, options):
        torch.manual_seed(2)
        super().__init__(features, options)


@pytest.mark.parametrize("options", [{"epochs": 5, "average": 0.9}, PATIENT])
@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_training_ends_in_the_same_bytes(tmp_path, monkeypatch, options, after):
    whole, history = train(None, options)
    path, save = tmp_path / "dssm-1.safetensors", Checkpoint.save

    def interrupted(self, history):
        save(self, history)
        if len(history) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(path, options)
    monkeypatch.setattr(Checkpoint, "save", save)
    monkeypatch.setattr(loop, "DSSM", OtherWeights)  # the first weights do not matter any more
    resumed, again = train(path, options)
    assert again == history
    for name, value in whole.state_dict().items():
        assert value.numpy().tobytes() == resumed.state_dict()[name].numpy().tobytes(), name


def test_a_finished_training_is_not_trained_any_further(tmp_path):
    path = tmp_path / "dssm-1.safetensors"
    whole, history = train(path, PATIENT)
    before = path.stat().st_mtime_ns
    again, repeated = train(path, PATIENT)
    assert repeated == history
    assert path.stat().st_mtime_ns == before
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())


def test_what_is_of_another_run_or_broken_is_ignored_with_a_line(tmp_path, capsys):
    path = tmp_path / "dssm-1.safetensors"
    train(tmp_path / "dssm-2.safetensors", {"epochs": 1})
    path.write_bytes(b"no checkpoint")
    capsys.readouterr()
    _, history = train(path, {"epochs": 1})
    lines = capsys.readouterr().out.splitlines()
    assert len(history) == 1
    assert lines[0] == f"{tmp_path}/dssm-2.safetensors: ignored, it belongs to other parameters, data or code"
    assert lines[1].startswith(f"{path}: ignored, it cannot be read")


def _zeros(content: bytes) -> bytes:
    return content[:-5000] + bytes(4096) + content[-904:]


def _rewrite(path, change):
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        about = file.metadata()
    tensors, about = change(tensors, about)
    save_file(tensors, path, about)


def _nan(tensors, about):
    name = next(key for key, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel())
    return tensors | {name: torch.full_like(tensors[name], float("nan"))}, about


DAMAGE = {
    "zeros": lambda path: path.write_bytes(_zeros(path.read_bytes())),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "NaN": lambda path: _rewrite(path, _nan),
    "no metadata": lambda path: _rewrite(path, lambda tensors, about: (tensors, None)),
    "another history": lambda path: _rewrite(path, lambda t, about: (t, about | {"rest": '{"history": []}'})),
    "a tensor renamed": lambda path: _rewrite(path, lambda t, a: ({f"{k}x" if k == min(t) else k: t[k] for k in t}, a)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_ignored_with_a_line_and_training_starts_anew(tmp_path, capsys, damage):
    path = tmp_path / "dssm-1.safetensors"
    whole, history = train(path, PATIENT)
    DAMAGE[damage](path)
    capsys.readouterr()
    again, repeated = train(path, PATIENT)
    assert capsys.readouterr().out.startswith(f"{path}: ignored, it cannot be read: ")
    assert repeated == history
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())


def test_the_path_follows_parameters_data_and_code(tmp_path, monkeypatch):
    path = checkpoint_path("dssm", data="a", params={"loss": "bpr"})
    assert path == checkpoint_path("dssm", params={"loss": "bpr"}, data="a")
    assert path != checkpoint_path("dssm", data="b", params={"loss": "bpr"})
    assert path != checkpoint_path("dssm", data="a", params={"loss": "ccl"})
    monkeypatch.setattr(checkpoints, "SOURCES", tmp_path)  # as if no file were of ours
    assert path != checkpoint_path("dssm", data="a", params={"loss": "bpr"})


def test_the_progress_of_a_training_is_read_while_it_runs(tmp_path, monkeypatch):
    """After each epoch another process sees its history so far."""
    path, save, seen = tmp_path / checkpoints.FOLDER / "dssm-1.safetensors", Checkpoint.save, []

    def saved(self, history):
        save(self, history)
        seen.append(checkpoints.history_so_far(tmp_path))

    monkeypatch.setattr(Checkpoint, "save", saved)
    assert checkpoints.history_so_far(tmp_path) == []
    history = train(path, PATIENT)[1]
    assert seen == [history[: epoch + 1] for epoch in range(len(history))]
    assert all("validation" in line for line in history)
    save_file({}, path, {"rest": '{"history": [{"epoch": 1}]}'})
    save_file({}, path.with_name("rehearsal-dssm-2.safetensors"), {"rest": '{"history": [{"epoch": 7}]}'})
    assert checkpoints.history_so_far(tmp_path) == [{"epoch": 7}, {"epoch": 1}]
