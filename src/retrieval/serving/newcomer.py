"""Users who are not in the data: a row of left made on the spot, of what they watched and who they are."""

from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.torch import load_file

from retrieval.batches import Sampler
from retrieval.dssm import DSSM
from retrieval.dssm import Model as Options
from retrieval.errors import Problem
from retrieval.histories import Features, Histories
from retrieval.matrices import Model
from retrieval.serving.catalogue import Catalogue

Watched = tuple[np.ndarray, np.ndarray]  # rows of items [n] and seconds since 1970 [n], in time order


class Tower:
    """The user tower of a DSSM: items watched and demographics -> [1, e]."""

    def __init__(self, path: Path, model: Model) -> None:
        options = Options.model_validate({name: model.card["params"][name] for name in Options.model_fields})
        blocks = model.card["user_columns"]
        values = [(column, value) for column in blocks for value in blocks[column]]
        self._column = {value: i for i, value in enumerate(values)}
        self._tokens = torch.from_numpy(np.load(path / "tokens.npy", mmap_mode="c", allow_pickle=False))
        weights = load_file(path / "towers.safetensors")
        read = len(weights.get("item_tower.first.weight", ()))
        nothing = np.zeros(0, np.int64)
        self._model = DSSM(
            Features(
                Histories(np.zeros(1, np.int64), nothing.astype(np.int32), nothing, nothing.astype(np.float32)),
                sp.csr_matrix((1, len(values)), dtype=np.float32),
                sp.csr_matrix((len(model.items), read), dtype=np.float32),
                nothing,
                model.items,
                {},
            ),
            options,
        )
        self._model.load_state_dict(weights)
        self._model.eval()
        self._first = torch.zeros(1, dtype=torch.long)

    @torch.inference_mode()
    def __call__(self, watched: Watched, demographics: dict[str, str]) -> np.ndarray:
        items, time = watched
        columns = sorted(self._column[pair] for pair in demographics.items())
        ones = np.ones(len(columns), np.float32)
        self._model.user_tower.first.read(
            sp.csr_matrix((ones, columns, [0, len(columns)]), shape=(1, len(self._column)))
        )
        history = Histories(np.array([0, len(items)]), items.astype(np.int32), time, np.ones(len(items), np.float32))
        batch = next(Sampler(history, self._model.length).whole())
        vectors = self._model.users(batch, self._tokens)
        return self._model.columns(vectors, self._tokens[:1], self._first)[0].numpy()


class History:
    """A model whose left is the history itself (ItemKNN, EASE): a row of ones at what was watched."""

    def __init__(self, items: int) -> None:
        self._items = items

    def __call__(self, watched: Watched, demographics: dict[str, str]) -> sp.csr_matrix:
        items = np.sort(watched[0])
        return sp.csr_matrix((np.ones(len(items), np.float32), items, [0, len(items)]), shape=(1, self._items))


class Same:
    """A model whose left is one row for all (popularity)."""

    def __init__(self, row: np.ndarray) -> None:
        self._row = row

    def __call__(self, watched: Watched, demographics: dict[str, str]) -> np.ndarray:
        return self._row


def newcomer(path: Path, model: Model, catalogue: Catalogue) -> Tower | History | Same | None:
    """What makes a row of the model's left of a user who is not in it; None where the model has no way to."""
    if (path / "tokens.npy").exists():
        try:
            return Tower(path, model)
        except (KeyError, ValueError, RuntimeError) as error:
            raise Problem(f"{path}: the user tower does not load: {error}") from None
    if is_history(model, catalogue):
        return History(len(model.items))
    if not sp.issparse(model.left) and (model.left == model.left[:1]).all():
        return Same(np.array(model.left[:1]))
    return None


def is_history(model: Model, catalogue: Catalogue) -> bool:
    """Whether the model's left is who watched what, as ones."""
    left = model.left
    if not sp.issparse(left) or left.shape != (len(catalogue.users), len(catalogue.items)):
        return False
    if not np.array_equal(left.indptr, catalogue.indptr) or not (left.data == 1).all():
        return False
    ones = np.ones(left.nnz, np.float32)
    seen = sp.csr_matrix((ones, np.asarray(catalogue.item), np.asarray(catalogue.indptr)), shape=left.shape)
    return bool((left != seen).nnz == 0)
