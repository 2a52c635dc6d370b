"""`make recommend` for all users of a model of KION's size, and RecTools' recommend with the same vectors.

Run `PYTHONPATH=src python benchmarks/recommend.py [scale]`; scale 1 has KION's 962,179 users and 15,706 items. Vectors
and histories are random, as their numbers make no difference. Each runs in a process of its own and writes a parquet
file. The seconds of `make recommend` include start and loading, those of RecTools do not, nor its Dataset.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from retrieval import matrices
from retrieval.histories import Features, Histories
from retrieval.search import catalogue
from retrieval.stage import folder

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from results import ROOT, record
from scale import peak

USERS, ITEMS, INTERACTIONS, WIDTH, K = 962_179, 15_706, 5_476_251, 65, 10


def write(models: Path, scale: float) -> None:
    """A model of vectors and its catalogue."""
    rng = np.random.default_rng(0)
    users, rows = round(USERS * scale), round(INTERACTIONS * scale)
    indptr = np.append(0, np.cumsum(np.bincount(rng.integers(0, users, rows), minlength=users)))
    item = (rng.random(rows) ** 3 * ITEMS).astype(np.int32)  # some items are popular
    history = Histories(indptr, item, np.arange(rows), np.ones(rows, np.float32))
    ids = np.arange(users) * 7 + 1, np.arange(ITEMS) * 3 + 1
    no_columns = [sp.csr_matrix((count, 0), dtype=np.float32) for count in (users, ITEMS)]
    spec = {"user_columns": {}, "item_columns": {}, "repeats": "drop", "timed": True, "data": ""}
    features = Features(history, no_columns[0], no_columns[1], ids[0], ids[1], spec)
    models.mkdir()
    with folder(models / "catalogue") as aside:
        table = pa.table({"item_id": ids[1]})
        catalogue.write(aside, features, table, table[:0])
    left, right = (matrices.snap(rng.standard_normal((count, WIDTH), dtype=np.float32)) for count in (users, ITEMS))
    matrices.save(models / "random", left, right, *ids, kind="vectors")


def rectools(models: Path, out: Path) -> None:
    """Write RecTools' recommendations; prints the seconds of recommending and writing."""
    from implicit.cpu.als import AlternatingLeastSquares
    from rectools.dataset import Dataset
    from rectools.models import ImplicitALSWrapperModel

    data, model = catalogue.load(models / "catalogue"), matrices.load(models / "random")
    users = np.repeat(data.users, np.diff(data.indptr))
    rows = pd.DataFrame({"user_id": users, "item_id": data.items[data.item], "weight": 1, "datetime": "2021-08-22"})
    dataset = Dataset.construct(rows)
    start = time.perf_counter()
    als = AlternatingLeastSquares(factors=WIDTH)
    user, item = dataset.user_id_map.external_ids, dataset.item_id_map.external_ids
    als.user_factors = np.asarray(model.left)[np.searchsorted(data.users, user)]
    als.item_factors = np.asarray(model.right)[np.searchsorted(data.items, item)]
    wrapped = ImplicitALSWrapperModel(als)
    wrapped.model, wrapped.is_fitted = als, True
    wrapped.recommend(user, dataset, K, filter_viewed=True).to_parquet(out)
    print(time.perf_counter() - start)


def run(*command: str) -> tuple[dict[str, float], str]:
    """Seconds and peak memory in megabytes of a process, and what it printed."""
    start, most = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while process.poll() is None:
        most = max(most, peak(process.pid))
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{command} failed")
    assert process.stdout is not None
    return {"seconds": round(time.perf_counter() - start, 1), "megabytes": most}, process.stdout.read()


def main() -> None:
    if len(sys.argv) > 2:
        return rectools(*map(Path, sys.argv[1:]))
    scale = float(sys.argv[1]) if sys.argv[1:] else 1.0
    with tempfile.TemporaryDirectory() as name:
        models, out = Path(name, "models"), Path(name, "lists.parquet")
        write(models, scale)
        options = "--models", str(models), "--model", "random", "--k", str(K), "--out", str(out)
        ours, _ = run("-m", "retrieval.recommend", *options)
        theirs, seconds = run("benchmarks/recommend.py", str(models), str(out))
    theirs["seconds"] = round(float(seconds), 1)
    results = {"users": round(USERS * scale), "recommend": ours, "rectools": theirs}
    print(results)
    record(**{f"recommend_{scale:g}": results})


if __name__ == "__main__":
    main()
