"""Users who are not in the data: a row of left made on the spot, of what they watched and who they are."""

from pathlib import Path

from retrieval.dssm.batches import Batches
from retrieval.dssm.model import Options
from retrieval.dssm.scoring import SCORES
from retrieval.dssm.towers import UserTower
from retrieval.errors import Problem
from retrieval.histories import Histories
from retrieval.matrices import Model

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

Watched = tuple[np.ndarray, np.ndarray]  # rows of items [n] and seconds since 1970 [n], in time order
NOTHING: Watched = np.zeros(0, np.int64), np.zeros(0, np.int64)


class Tower:
    """The user tower of a DSSM: items watched and demographics -> [1, e].

    What the towers do not make of left is the same for all users: the 1 that a bias or a trend is multiplied by.
    """

    def __init__(self, path: Path, model: Model) -> None:
        options = Options.model_validate({name: model.card["params"][name] for name in Options.model_fields})
        weights = load_file(path / "towers.safetensors")
        columns = model.card["user_columns"]
        values = [(column, value) for column in columns for value in columns[column]]
        self._place = {value: i for i, value in enumerate(values)}
        nobody = sp.csr_matrix((1, len(values)), dtype=np.float32)
        self._tower = UserTower(nobody, options.history, options.architecture, options.towers)
        own = "user_tower."
        self._tower.load_state_dict({name[len(own) :]: weights[name] for name in weights if name.startswith(own)})
        self._tower.eval()
        tokens = torch.from_numpy(np.load(path / "tokens.npy", mmap_mode="c", allow_pickle=False))
        self._tokens = weights.get("tokens.weight", tokens)
        self._options, self._scale = options, torch.exp(-weights["log_temperature"])
        self._mean = weights.get("mean")
        self._constant = np.array(model.left[:1])

    @torch.inference_mode()
    def __call__(self, watched: Watched, demographics: dict[str, str]) -> np.ndarray:
        items, time = watched
        places = sorted(self._place[pair] for pair in demographics.items())
        ones = np.ones(len(places), np.float32)
        self._tower.first.read(sp.csr_matrix((ones, places, [0, len(places)]), shape=(1, len(self._place))))
        ends = np.array([0, len(items)])
        if not len(items):  # a sampler has at least one interaction; this one is outside of the user's rows
            items, time = np.zeros(1, np.int64), np.zeros(1, np.int64)
        history = Histories(ends, items.astype(np.int32), time, np.ones(len(items), np.float32))
        batch = next(Batches(history, self._options.towers.length).whole())
        vectors = self._tower(batch, self._tokens)
        vectors = F.normalize(vectors, dim=1) if self._options.normalize else vectors
        left = SCORES[self._options.scored_by](vectors, vectors)[0] * self._scale
        if self._mean is not None:
            left = self._options.trend.served(left, self._mean)
        row = left.numpy()
        return np.concatenate([row, self._constant[:, row.shape[1] :]], axis=1)


class Same:
    """A model whose left is one row for all (popularity)."""

    def __init__(self, row: np.ndarray) -> None:
        self._row = row

    def __call__(self, watched: Watched, demographics: dict[str, str]) -> np.ndarray:
        return self._row


def newcomer(path: Path, model: Model) -> Tower | Same | None:
    """What makes a row of left of a user who is not in it, also of one who has watched nothing; None where the model
    has no way to."""
    if (path / "tokens.npy").exists():
        try:
            return Tower(path, model)
        except (KeyError, ValueError, RuntimeError) as error:
            raise Problem(f"{path}: the user tower does not load: {error}") from None
    if not sp.issparse(model.left) and (model.left == model.left[:1]).all():
        return Same(np.array(model.left[:1]))
    return None
