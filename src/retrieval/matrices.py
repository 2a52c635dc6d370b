"""The contract of the project: a model is two matrices, and a user's score for an item is left[user] . right[item].

A model folder holds
    left.npy or left.npz      [users, d]  float32, dense (memory-mapped when read) or scipy CSR
    right.npy or right.npz    [items, d]  the same
    users.npy, items.npy      [users], [items]  int64 ids, in the order of the rows
    card.json                 name, shapes, sha256 of every file, and whatever the model wants to say of itself
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from retrieval.errors import Problem
from retrieval.stage import folder, sha256, write_json

import numpy as np
import scipy.sparse as sp

Matrix: TypeAlias = np.ndarray | sp.csr_matrix


@dataclass(frozen=True)
class Model:
    """`left` [users, d] and `right` [items, d] with the ids of their rows; dense float32 or CSR."""

    name: str
    left: Matrix
    right: Matrix
    users: np.ndarray
    items: np.ndarray
    card: dict[str, Any]


def save(out: Path, left: Matrix, right: Matrix, users: np.ndarray, items: np.ndarray, **card: Any) -> None:
    """Write the model folder `out`, whole or not at all. `card` is what the model says of itself (JSON)."""
    with folder(out) as aside:
        write_into(aside, out.name, left, right, users, items, **card)


def write_into(
    out: Path, name: str, left: Matrix, right: Matrix, users: np.ndarray, items: np.ndarray, **card: Any
) -> None:
    """Write the files of a model into an open folder, for a model that adds files of its own before this call."""
    _check(name, left, right, users, items)
    for part, matrix in (("left", left), ("right", right)):
        if sp.issparse(matrix):
            sp.save_npz(out / f"{part}.npz", sp.csr_matrix(matrix, dtype=np.float32), compressed=False)
        else:
            np.save(out / f"{part}.npy", np.ascontiguousarray(matrix, dtype=np.float32))
    np.save(out / "users.npy", users.astype(np.int64))
    np.save(out / "items.npy", items.astype(np.int64))
    files = {path.name: sha256(path) for path in sorted(out.iterdir())}
    shapes = {"users": len(users), "items": len(items), "dimensions": int(left.shape[1])}
    write_json(out / "card.json", {"name": name, **shapes, **card, "files": files})


def load(path: Path, verify: bool = False) -> Model:
    """Read a model folder; dense matrices are memory-mapped. `verify` compares every file with the card's hashes."""
    try:
        card = json.loads((path / "card.json").read_text(encoding="utf-8"))
        if verify:
            for name, expected in card["files"].items():
                if sha256(path / name) != expected:
                    raise Problem(f"{path / name}: is not the file that card.json was written for; train again")
        left, right = _matrix(path, "left"), _matrix(path, "right")
        users, items = (np.load(path / f"{side}.npy", allow_pickle=False) for side in ("users", "items"))
        name = card["name"]
    except FileNotFoundError as error:
        raise Problem(f"{path}: is no model folder: {Path(error.filename).name} is missing") from None
    except (ValueError, KeyError, OSError) as error:
        raise Problem(f"{path}: is no model folder: {error}") from None
    _check(name, left, right, users, items)
    return Model(name, left, right, users, items, card)


def _matrix(path: Path, part: str) -> Matrix:
    if (path / f"{part}.npz").exists():
        return sp.csr_matrix(sp.load_npz(path / f"{part}.npz"))
    return np.load(path / f"{part}.npy", mmap_mode="r", allow_pickle=False)


def _check(name: str, left: Matrix, right: Matrix, users: np.ndarray, items: np.ndarray) -> None:
    if left.shape != (len(users), right.shape[1]) or right.shape[0] != len(items):
        raise Problem(
            f"model {name}: left {left.shape} and right {right.shape} do not fit "
            f"{len(users)} users and {len(items)} items"
        )
    for part, matrix in (("left", left), ("right", right)):
        values = matrix if isinstance(matrix, np.ndarray) else matrix.data
        if not np.isfinite(values).all():
            raise Problem(f"model {name}: {part} holds numbers that are not finite; the training diverged")
