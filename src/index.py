"""Write the catalogue of the service and nearest-neighbour indexes per model; measure their recall and size."""

from pathlib import Path

from retrieval import histories, matrices
from retrieval.params import Section, Seed
from retrieval.search import space
from retrieval.search.catalogue import Catalogue
from retrieval.search.catalogue import load as load_catalogue
from retrieval.search.catalogue import write as write_catalogue
from retrieval.search.indexes import INDEXES, Faiss, Indexes, has_index, make_deterministic
from retrieval.search.recommender import Recommender
from retrieval.stage import folder, read_table, run, write_card, write_json

import numpy as np

K = 10  # length of the lists whose recall is measured


class IndexParams(Section):
    """The parameters that `index` reads."""

    seed: Seed
    index: Indexes


def main(params: IndexParams, prepared: Path, features: Path, models: Path, out: Path, metrics: Path) -> None:
    """data/prepared, data/features, models -> models/catalogue, metrics/index.json."""
    make_deterministic()
    data = histories.load(features)
    rng = np.random.default_rng(params.seed)
    users = np.sort(rng.permutation(len(data.user_ids))[: params.index.users])
    results = {}
    with folder(out) as aside:
        tables = (read_table(prepared / f"{name}.parquet") for name in ("items", "new_items"))
        write_catalogue(aside, data, *tables)
        catalogue = load_catalogue(aside)
        for card in sorted(models.glob("[!.]*/card.json")):
            model = matrices.load(card.parent)
            if has_index(model):
                path = aside / "indexes" / model.name
                path.mkdir(parents=True)
                results[model.name] = _build(path, card.parent, model, catalogue, users, params.index)
    write_json(metrics, results)


def _build(
    path: Path, source: Path, model: matrices.Model, catalogue: Catalogue, users: np.ndarray, options: Indexes
) -> dict[str, dict[str, float]]:
    """Write all indexes of a model and their card. Returns index -> mean recall over `users`, size of the file."""
    fitted = space.fit(model.left, np.asarray(model.right))
    space.save(path / "space.npz", fitted)
    points, results = fitted.items(np.asarray(model.right)), {}
    exact = Recommender(source, model, None)
    for kind, build in INDEXES.items():
        file = path / f"{kind}.faiss"
        build(points, options, file)
        near = Recommender(source, model, (fitted, Faiss(file)))
        hits = [len(np.intersect1d(_items(exact, user, catalogue), _items(near, user, catalogue))) for user in users]
        results[kind] = {f"recall@{K}": float(np.mean(hits) / K), "megabytes": file.stat().st_size / 1e6}
    write_card(path / "index.json", {"params": options.model_dump(), "model": model.card["files"]})
    return results


def _items(recommender: Recommender, user: int, catalogue: Catalogue) -> np.ndarray:
    return recommender.best(recommender.model.left[[user]], catalogue.excluded(user), K)[0]


if __name__ == "__main__":
    run(main)
