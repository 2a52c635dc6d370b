"""Build nearest-neighbour indexes of one model; measure their recall and size."""

from pathlib import Path

from retrieval import histories, matrices
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.params import Section, Seed
from retrieval.ranking import rank
from retrieval.search import space
from retrieval.search.indexes import INDEXES, Faiss, Index, Indexes, candidates, has_index, make_deterministic
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
    queries = fitted.query(model.left[users])
    with folder(out) as aside:
        space.save(aside / "space.npz", fitted)
        measured = {}
        for kind, build in INDEXES.items():
            file = aside / f"{kind}.faiss"
            build(points, options, file)
            recall = _recall(Faiss(file), queries, exact, excluded[users])
            measured[kind] = {f"recall@{K}": recall, "megabytes": file.stat().st_size / 1e6}
        card = {"params": options.model_dump(), "model": model.card["files"], "measured": measured}
        write_card(aside / "index.json", card)


def _excluded(data: Features) -> sp.csr_matrix:
    """What the service leaves out by default, [users, items]: items that the user has seen or dislikes."""
    return data.seen if data.disliked is None else sp.csr_matrix(data.seen + data.disliked)


def _recall(index: Index, queries: np.ndarray, exact: np.ndarray, excluded: sp.csr_matrix) -> float:
    """The share of the `exact` lists [users, K] that a search by `index` finds; -1 fills up lists that are too short.

    Candidates are scored exactly: so one of the K best of all items is in a user's list if it is a candidate.
    """
    seen = np.split(excluded.indices, excluded.indptr[1:-1])
    hits = 0
    for query, best, rows in zip(queries, exact, seen, strict=True):
        found = candidates(index, query[None], rows, K)
        hits += np.count_nonzero(best >= 0 if found is None else np.isin(best, found))
    return float(hits / len(exact) / K)


if __name__ == "__main__":
    run(main)
