"""Build nearest-neighbour indexes of one model; measure their recall and size."""

from pathlib import Path

from retrieval import histories, matrices
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.params import Section, Seed
from retrieval.ranking import rank
from retrieval.search import space
from retrieval.search.indexes import INDEXES, Faiss, Indexes, has_index, make_deterministic
from retrieval.search.recommender import Recommender
from retrieval.stage import folder, run, write_card

import numpy as np
import scipy.sparse as sp

K = 10  # length of the lists whose recall is measured


class IndexParams(Section):
    """The parameters that `index` reads."""

    seed: Seed
    index: Indexes


def main(params: IndexParams, features: Path, path: Path, out: Path) -> None:
    """data/features, models/<name> -> models/indexes/<name>: the indexes, and index.json with their recall and size."""
    make_deterministic()
    data, model, options = histories.load(features), matrices.load(path), params.index
    if not has_index(model):
        raise Problem(f"{path}: is of kind {model.kind}; only models of vectors have an index")
    rng = np.random.default_rng(params.seed)
    users = np.sort(rng.permutation(len(data.user_ids))[: options.users])
    right = np.asarray(model.right)
    fitted = space.fit(model.left, right)
    points, excluded = fitted.items(right), _excluded(data)
    exact = rank(model.left, right, users, K, excluded, title=f"{model.name}, exact").items
    with folder(out) as aside:
        space.save(aside / "space.npz", fitted)
        measured = {}
        for kind, build in INDEXES.items():
            file = aside / f"{kind}.faiss"
            build(points, options, file)
            near = Recommender(path, model, (fitted, Faiss(file)))
            found = [near.best(model.left[[user]], excluded[user].indices, K)[0] for user in users]
            hits = [len(np.intersect1d(*lists)) for lists in zip(exact, found, strict=True)]
            measured[kind] = {f"recall@{K}": float(np.mean(hits) / K), "megabytes": file.stat().st_size / 1e6}
        card = {"params": options.model_dump(), "model": model.card["files"], "measured": measured}
        write_card(aside / "index.json", card)


def _excluded(data: Features) -> sp.csr_matrix:
    """What the service leaves out by default, [users, items]: items that the user has seen or dislikes."""
    return data.seen if data.disliked is None else sp.csr_matrix(data.seen + data.disliked)


if __name__ == "__main__":
    run(main)
