"""A GPU that is not there: tensors on it lie in main memory, and whatever a real one refuses raises an error.

That is mixing tensors of both devices in one operation, indexing a tensor in main memory by one on the GPU, making a
NumPy array of a tensor on the GPU, and drawing on it with a generator of the CPU. It says nothing of speed, and nothing
of operations that CUDA does not have.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retrieval.training import fused

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
INDEXING = ("aten.index.", "aten.index_put", "aten._index_put")


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Yields its device. Jobs side by side run one after the other, as the modes hold for one thread only."""
    monkeypatch.setattr(fused, "side_by_side", lambda work, jobs: map(torch.no_grad()(work), jobs))
    memory = _Memory()
    with _Python(memory), _Operations(memory):
        yield GPU


def tensors(tree: Any) -> list[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class _Memory:
    """Which memory counts as the GPU's. None of it is ever freed, so that no tensor of the CPU gets the same place."""

    def __init__(self) -> None:
        self.on_gpu: dict[int, torch.UntypedStorage] = {}

    def has(self, tensor: Tensor) -> bool:
        """Whether the tensor is on the GPU; views share the memory of what they show."""
        return tensor.untyped_storage().data_ptr() in self.on_gpu

    def take(self, tensor: Tensor) -> Tensor:
        """The tensor, which is on the GPU from now on."""
        if tensor.numel():
            self.on_gpu[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    def device(self, tensor: Tensor) -> torch.device:
        """Where the tensor is."""
        return GPU if self.has(tensor) else CPU


class _Operations(TorchDispatchMode):
    """Every operation, those of gradients included: all its tensors must be on one device, and so is what it makes."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, has = str(func), self.memory.has
        given = [each for each in tensors((args, kwargs)) if each.numel()]
        checked = given
        if name.startswith(INDEXING):
            if not has(args[0]) and any(map(has, tensors(args[1]))):
                raise RuntimeError(f"{name}: a tensor on the CPU, indexed by one on the GPU")
            checked = [args[0], *tensors(args[2:])]
        anywhere = any(map(has, checked))
        if not name.startswith("aten.copy_") and anywhere and any(each.ndim and not has(each) for each in checked):
            raise RuntimeError(f"{name}: on two devices: {[(has(each), tuple(each.shape)) for each in checked]}")
        result = func(*args, **(kwargs or {}))
        if anywhere and not name.startswith("aten.copy_"):
            for made in tensors(result):
                self.memory.take(made)
        return result


class _Python(TorchFunctionMode):
    """What Python code asks of a device: where a tensor is, to move it, to make one there."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs, memory = resolve_name(func) or str(func), dict(kwargs or {}), self.memory
        if name == "torch.Tensor.device.__get__":
            return memory.device(args[0])
        if name in ("torch.Tensor.numpy", "torch.Tensor.__array__") and memory.has(args[0]):
            raise TypeError(f"{name}: the tensor is on the GPU")
        if name == "torch.Tensor.cpu":
            return self.moved(args[0], to=CPU)
        if name == "torch.Tensor.to":
            return self.to(func, args, kwargs)
        if name.endswith("__deepcopy__"):
            copied = func(*args, **kwargs)
            return memory.take(copied) if memory.has(args[0]) else copied
        place = torch.device(kwargs.pop("device", None) or CPU)
        if place.type == "cuda" and kwargs.get("generator") is not None:
            raise RuntimeError(f"{name}: a generator of the CPU draws on the GPU")
        result = func(*args, **kwargs)
        return memory.take(result) if place.type == "cuda" else result

    def to(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        """tensor.to(device, dtype, other tensor)."""
        tensor, *rest = args
        asked, others = [*rest, *kwargs.values()], tensors((rest, kwargs))
        devices = [torch.device(each) for each in asked if isinstance(each, (torch.device, str))]
        devices += [self.memory.device(each) for each in others]
        dtypes = [each for each in asked if isinstance(each, torch.dtype)] + [each.dtype for each in others]
        changed = tensor.to(dtypes[0]) if devices and dtypes else tensor
        return self.moved(changed, devices[0]) if devices else func(*args, **kwargs)

    def moved(self, tensor: Tensor, to: torch.device) -> Tensor:
        """The tensor on that device: itself if it is there."""
        if self.memory.device(tensor).type == to.type:
            return tensor
        if to.type == "cuda":
            return self.memory.take(tensor.clone())
        return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
