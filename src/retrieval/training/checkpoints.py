"""Checkpoints: an interrupted training continues after its last finished epoch and ends in the same bytes.

A checkpoint is one safetensors file outside of DVC's outputs, which DVC deletes before a stage runs. Its name holds a
hash of everything that decides the result: what the caller names, the code, the version of torch and the number of
threads, on which the last bits of sums depend. Only the run that it belongs to finds it. The file holds a hash of its
content: one that is damaged is ignored.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from retrieval import stage
from retrieval.errors import Problem

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

FOLDER = Path(".checkpoints")
REHEARSAL = "rehearsal-"  # precedes the name of a model in that of its rehearsal
SOURCES = Path(__file__).parents[2]


def of_member(path: Path, number: int) -> Path:
    """The path of a member of an ensemble; that of the first is `path` itself."""
    return path.with_name(f"{number + 1}-{path.name}") if number else path


class Checkpoint:
    """The state of modules, optimiser and schedule after an epoch, and the history of the training so far.

    There is no random state to save: each epoch's generators are seeded with the seed and the epoch's number.
    """

    def __init__(
        self, path: Path | None, modules: Mapping[str, nn.Module], optimizer: Optimizer, schedule: LRScheduler
    ) -> None:
        self.path, self.modules, self.optimizer, self.schedule = path, modules, optimizer, schedule

    def save(self, history: list[dict[str, float]]) -> None:
        """Write the file, whole or not at all; nothing without a path."""
        if self.path is None:
            return
        tensors = {f"{name}/{key}": value for name, module in self.modules.items() for key, value in _state(module)}
        optimizer = self.optimizer.state_dict()
        for index, values in optimizer["state"].items():
            tensors |= {f"optimizer/{index}/{key}": value for key, value in values.items()}
        rest = {"history": history, "groups": optimizer["param_groups"], "schedule": self.schedule.state_dict()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text, tensors = json.dumps(rest), {key: value.contiguous() for key, value in tensors.items()}
        with stage.file(self.path) as aside:
            try:
                save_file(tensors, aside, {"rest": text, "sha256": _digest(tensors, text)})
            except SafetensorError as error:
                raise Problem(f"{self.path}: cannot be written: {error}") from None

    def resume(self) -> list[dict[str, float]]:
        """Load the file into the modules, the optimiser and the schedule. Returns its history, empty without a file."""
        if self.path is None:
            return []
        name = self.path.stem.rpartition("-")[0]
        for other in sorted(self.path.parent.glob(f"{name}-*{self.path.suffix}")):
            if other != self.path:
                print(f"{other}: ignored, it belongs to other parameters, data or code")
        try:
            tensors, rest = _read(self.path)
        except FileNotFoundError:
            return []
        except (SafetensorError, OSError, ValueError) as error:
            print(f"{self.path}: ignored, it cannot be read: {error}")
            return []
        for name, module in self.modules.items():
            module.load_state_dict(_under(tensors, name))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _under(tensors, "optimizer").items():
            index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})
        self.schedule.load_state_dict(rest["schedule"])
        print(f"{self.path}: continuing after epoch {len(rest['history'])}")
        return rest["history"]


def history_so_far(root: Path) -> list[dict[str, float]]:
    """The history so far of the `train_dssm` that runs in the folder `root`, that of a rehearsal first.

    Empty before the first checkpoint.
    """
    history = list[dict[str, float]]()
    for name in (f"{REHEARSAL}dssm", "dssm"):
        for path in (root / FOLDER).glob(f"{name}-*.safetensors"):
            with suppress(FileNotFoundError, SafetensorError), safe_open(path, "pt") as file:  # it may just have ended
                history += json.loads(file.metadata()["rest"])["history"]
    return history


def checkpoint_path(name: str, **inputs: Any) -> Path:
    """Where the checkpoint of a training is whose result depends on `inputs` (JSON) and the code."""
    threads = torch.get_num_threads()
    digest = hashlib.sha256(json.dumps([inputs, torch.__version__, threads], sort_keys=True).encode())
    files = {Path(path) for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))}
    for file in sorted(file.resolve() for file in files if SOURCES in file.resolve().parents):
        digest.update(file.read_bytes())
    return FOLDER / f"{name}-{digest.hexdigest()[:16]}.safetensors"


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and the rest of a checkpoint. Raises `ValueError` if they are not what was saved."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        about = file.metadata() or {}
    if about.get("sha256") != _digest(tensors, about.get("rest", "")):
        raise ValueError("its hash is not that of its content")
    return tensors, json.loads(about["rest"])


def _digest(tensors: Mapping[str, torch.Tensor], rest: str) -> str:
    """The hash of names, shapes, types and bytes of the tensors, and of the rest."""
    digest = hashlib.sha256(rest.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _state(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(module.state_dict().items())


def _under(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
