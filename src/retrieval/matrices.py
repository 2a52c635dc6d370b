"""The contract of the project: a model is two matrices, and a user's score for an item is left[user] . right[item].

A model folder holds
    left.npy or left.npz      [users, d]  float32, dense (memory-mapped when read) or scipy CSR
    right.npy or right.npz    [items, d]  the same
    user_ids.parquet, item_ids.parquet         the ids in the order of the rows, see `ids`
    own.npz                   of some models of vectors: [users, items] float32 CSR, added to the scores of the items
                              that a user has had: further columns of left, for which right has the identity
    card.json                 name, kind, shapes, sha256 of every file and of the card, and whatever the model says of
                              itself

The kind says how the matrices may be used:
    constant      left is the same row for every user, as of popularity: one list serves all
    history       left is who watched what, as ones: a new user's row is their history
    neighbours    left is how similar a user is to others
    vectors       left and right are dense vectors, which nearest-neighbour indexes and maps can hold

Dense vectors are stored on a grid (`snap`): multiples of 2^-20 of the power of two above the largest number. Scores are
then exact in float64, whatever the order of the sum: products have 40 bits, a sum of 1,000 of them 50 of its 53.

A coarser grid makes equal what two processors, or two numbers of threads, compute in float64: they sum in another order
and differ by some 1e-12 of a number's size. On the grid these numbers are equal, unless one of them lies that close to
the middle between two multiples. With 12 bits and 250,000 weights this happens to one pair of machines in several
hundred. What is then computed from numbers on the grid differs by 1e-15 only, and is as good as equal on any grid.
"""

import math
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from retrieval import ids
from retrieval.errors import Problem, choices
from retrieval.stage import folder, read_card, write_card, write_sparse

import numpy as np
import scipy.sparse as sp

REMEDY = "train the model again"
BITS = 20  # of a number on the grid, besides its sign
KINDS = ("constant", "history", "neighbours", "vectors")
Matrix: TypeAlias = np.ndarray | sp.csr_matrix


@dataclass(frozen=True)
class Model:
    """`left` [users, d] and `right` [items, d] with the ids of their rows; dense float32 or CSR. `kind`, `own`: see
    above."""

    name: str
    kind: str
    left: Matrix
    right: Matrix
    users: np.ndarray
    items: np.ndarray
    card: dict[str, Any]
    own: sp.csr_matrix | None = None


def grid_step(largest: float, bits: int = BITS) -> float:
    """The step of the grid for numbers up to `largest`: a power of two, larger than it, over 2^bits."""
    return math.ldexp(1.0, math.frexp(largest)[1] - bits)


def snap(values: np.ndarray, bits: int = BITS, overwrite: bool = False) -> np.ndarray:
    """The values rounded to the grid, as float32, which holds them exactly. `overwrite` reuses a float64 array."""
    exact = np.asarray(values, np.float64) if overwrite else np.array(values, np.float64)
    step = grid_step(max(exact.max(initial=0.0), -exact.min(initial=0.0)), bits)
    exact /= step
    np.rint(exact, out=exact)
    exact *= step
    return exact.astype(np.float32)


def save(
    out: Path, left: Matrix, right: Matrix, users: np.ndarray, items: np.ndarray, *, kind: str, **card: Any
) -> None:
    """Write the model folder `out`, whole or not at all. `card` is what the model says of itself (JSON)."""
    with folder(out) as aside:
        write_into(aside, Model(out.name, kind, left, right, users, items, card))


def write_into(out: Path, model: Model) -> None:
    """Write the files of a model into an open folder, for a model that has written files of its own there."""
    _check(model)
    for part, matrix in (("left", model.left), ("right", model.right)):
        if sp.issparse(matrix):
            write_sparse(out / f"{part}.npz", sp.csr_matrix(matrix, dtype=np.float32))
        else:
            np.save(out / f"{part}.npy", np.ascontiguousarray(matrix, dtype=np.float32))
    if model.own is not None:
        write_sparse(out / "own.npz", model.own)
    ids.save(out / "user_ids.parquet", model.users)
    ids.save(out / "item_ids.parquet", model.items)
    shapes = {"users": len(model.users), "items": len(model.items), "dimensions": int(model.left.shape[1])}
    write_card(out / "card.json", {"name": model.name, "kind": model.kind, **shapes, **model.card})


def load(path: Path) -> Model:
    """Read a model folder; dense matrices are memory-mapped. Every file is compared with the hashes of the card.

    Raises `Problem` if something is missing, changed, or of another format or model.
    """
    card = read_card(path / "card.json", REMEDY)
    if card.get("name") != path.absolute().name:
        raise Problem(f"{path}: card.json is of the model {card.get('name')!r}; rename the folder back, or train again")
    try:
        left, right = (_matrix(path, part, card["files"]) for part in ("left", "right"))
        users, items = (ids.load(path / f"{side}_ids.parquet") for side in ("user", "item"))
        own = sp.csr_matrix(sp.load_npz(path / "own.npz")) if "own.npz" in card["files"] else None
        model = Model(card["name"], card["kind"], left, right, users, items, card, own)
    except FileNotFoundError as error:
        raise Problem(f"{path}: {Path(error.filename).name} is missing; {REMEDY}") from None
    except KeyError as error:
        raise Problem(f"{path}: card.json has no {error}; {REMEDY}") from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise Problem(f"{path}: not a model folder: {error}") from None
    _check(model)
    return model


def _matrix(path: Path, part: str, files: Collection[str]) -> Matrix:
    if f"{part}.npz" in files:
        return sp.csr_matrix(sp.load_npz(path / f"{part}.npz"))
    return np.load(path / f"{part}.npy", mmap_mode="r", allow_pickle=False)


def _check(model: Model) -> None:
    left, right, users, items = model.left, model.right, len(model.users), len(model.items)
    if model.kind not in KINDS:
        raise Problem(f"model {model.name}: kind {model.kind!r} is unknown; {choices(model.kind, KINDS)}")
    if left.shape != (users, right.shape[1]) or right.shape[0] != items:
        raise Problem(
            f"model {model.name}: left {left.shape} and right {right.shape} do not fit {users} users and {items} items"
        )
    own = model.own if model.own is not None else sp.csr_matrix((users, items))
    if own.shape != (users, items):
        raise Problem(f"model {model.name}: own {own.shape} does not fit {users} users and {items} items")
    for part, matrix in (("left", left), ("right", right), ("own", own)):
        values = matrix if isinstance(matrix, np.ndarray) else matrix.data
        if not np.isfinite(values).all():
            raise Problem(f"model {model.name}: {part} holds numbers that are not finite; the training diverged")
