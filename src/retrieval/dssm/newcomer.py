"""Users who are not in the data: the row of left that a DSSM makes from what they watched and who they are."""

from pathlib import Path
from typing import NamedTuple

from retrieval.dssm.batches import Batches
from retrieval.dssm.ensemble import TOKENS, WEIGHTS, mean
from retrieval.dssm.model import Options, unit
from retrieval.dssm.scoring import Export, Scorer
from retrieval.dssm.towers import UserTower
from retrieval.histories import Demographics, Histories, Watched
from retrieval.matrices import Model

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class _Member(NamedTuple):
    tower: UserTower
    scorer: Scorer
    tokens: Tensor  # [items, width]


class Tower:
    """The user towers and scorers of an ensemble: items watched and demographics -> a row of left [1, e]."""

    reads_history = reads_demographics = True

    def __init__(self, path: Path, model: Model) -> None:
        options = Options.model_validate({name: model.card["params"][name] for name in Options.model_fields})
        weights = load_file(path / WEIGHTS)
        columns = model.card["user_columns"]
        pairs = [(column, value) for column in columns for value in columns[column]]
        self._place = {pair: place for place, pair in enumerate(pairs)}
        nobody = sp.csr_matrix((1, len(pairs)), dtype=np.float32)
        sizes, trend = options.towers, options.trend if options.trend.enabled else None
        self._length, self._normalize, self._members = sizes.length, options.normalize, list[_Member]()
        tokens = torch.from_numpy(np.load(path / TOKENS, allow_pickle=False))
        for number, own in enumerate(tokens.chunk(sizes.ensemble, 1)):
            tower = UserTower(nobody, options.history, options.architecture, sizes)
            scorer = Scorer(options.score, sizes, torch.zeros(len(model.items)))
            for part, name in ((tower, "user_tower"), (scorer, "scorer")):
                _load(part, f"members.{number}.{name}", weights)
            own = weights.get(f"members.{number}.tokens.weight", own).double()
            self._members.append(_Member(tower, scorer, own))
        self._export = Export(trend, sizes.ensemble * scorer.columns)
        _load(self._export, "export", weights)

    @torch.inference_mode()
    def __call__(self, watched: Watched, demographics: Demographics) -> np.ndarray:
        items, time = watched
        places = sorted({self._place[pair] for pair in demographics})
        ones = np.ones(len(places), np.float32)
        row = sp.csr_matrix((ones, places, [0, len(places)]), shape=(1, len(self._place)))
        ends = np.array([0, len(items)])
        if not len(items):  # Batches needs an interaction: this one is outside of the user's rows
            items, time = np.zeros(1, np.int64), np.zeros(1, np.int64)
        history = Histories(ends, items.astype(np.int32), time, np.ones(len(items), np.float32))
        batch = next(Batches(history, self._length).whole())
        lefts = []
        for tower, scorer, tokens in self._members:
            tower.first.read(row)
            lefts.append(scorer.left(unit(tower(batch, tokens), self._normalize)))
        return self._export(mean(lefts)).float().numpy()


def _load(module: nn.Module, name: str, weights: dict[str, Tensor]) -> None:
    """Load the weights whose names begin with `name.`."""
    prefix = f"{name}."
    module.load_state_dict({key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)})
    module.double().eval()
