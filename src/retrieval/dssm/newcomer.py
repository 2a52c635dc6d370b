"""Users who are not in the data: the row of left that a DSSM makes from what they watched and who they are."""

from pathlib import Path

from retrieval.dssm.batches import Batches
from retrieval.dssm.model import WEIGHTS, Options, unit
from retrieval.dssm.scoring import Scorer
from retrieval.dssm.towers import UserTower
from retrieval.histories import Demographics, Histories, Watched
from retrieval.matrices import Model

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class Tower:
    """The user tower and the scorer of a DSSM: items watched and demographics -> a row of left [1, e]."""

    reads_history = reads_demographics = True

    def __init__(self, path: Path, model: Model) -> None:
        options = Options.model_validate({name: model.card["params"][name] for name in Options.model_fields})
        weights = load_file(path / WEIGHTS)
        columns = model.card["user_columns"]
        pairs = [(column, value) for column in columns for value in columns[column]]
        self._place = {pair: place for place, pair in enumerate(pairs)}
        nobody = sp.csr_matrix((1, len(pairs)), dtype=np.float32)
        self._tower = UserTower(nobody, options.history, options.architecture, options.towers)
        trend = options.trend if options.trend.enabled else None
        self._scorer = Scorer(options.score, options.towers, trend, torch.zeros(len(model.items)))
        for part, name in ((self._tower, "user_tower"), (self._scorer, "scorer")):
            _load(part.double(), name, weights)
        tokens = torch.from_numpy(np.load(path / "tokens.npy", allow_pickle=False))
        self._tokens = weights.get("tokens.weight", tokens).double()
        self._length, self._normalize = options.towers.length, options.normalize

    @torch.inference_mode()
    def __call__(self, watched: Watched, demographics: Demographics) -> np.ndarray:
        items, time = watched
        places = sorted({self._place[pair] for pair in demographics})
        ones = np.ones(len(places), np.float32)
        row = sp.csr_matrix((ones, places, [0, len(places)]), shape=(1, len(self._place)))
        self._tower.first.read(row)
        ends = np.array([0, len(items)])
        if not len(items):  # Batches needs an interaction: this one is outside of the user's rows
            items, time = np.zeros(1, np.int64), np.zeros(1, np.int64)
        history = Histories(ends, items.astype(np.int32), time, np.ones(len(items), np.float32))
        batch = next(Batches(history, self._length).whole())
        vector = unit(self._tower(batch, self._tokens), self._normalize)
        return self._scorer.ranked(self._scorer.left(vector)).float().numpy()


def _load(module: nn.Module, name: str, weights: dict[str, Tensor]) -> None:
    """Load the weights whose names begin with `name.`."""
    prefix = f"{name}."
    module.load_state_dict({key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)})
    module.eval()
