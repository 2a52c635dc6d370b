"""Who watched what, in time order: a CSR of interactions, and the folder of features that holds it."""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from retrieval import ids
from retrieval.errors import Problem
from retrieval.stage import sha256, write_json, write_npz, write_sparse

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

DAY = 24 * 60 * 60  # seconds
BATCH = 1 << 20  # rows
PASSED = 10_000_000  # interactions that an iterative model goes over, for auto
OPTIONAL = ("disliked", "ages")  # matrices that a folder of features may lack
VECTORS = " (vectors)"  # follows the name of a column of text, in that of its vectors

Watched = tuple[np.ndarray, np.ndarray]  # by one user: rows of items [n] and seconds since 1970 [n], in time order
Demographics = Iterable[tuple[str, str]]  # of one user: (column, value); a column may have several values


@dataclass(frozen=True)
class Histories:
    """Interactions ordered by user, time and tie; those of user u are indptr[u] to indptr[u + 1].

    indptr [users + 1] int64; item [n] int32, a row of the item matrix; time [n] int64, seconds since 1970 UTC;
    weight [n] float32, the bin of the share that was watched.
    """

    indptr: np.ndarray
    item: np.ndarray
    time: np.ndarray
    weight: np.ndarray

    @cached_property
    def user(self) -> np.ndarray:
        """The user of each interaction, [n] int32."""
        return np.repeat(np.arange(len(self.indptr) - 1, dtype=np.int32), np.diff(self.indptr))

    def only(self, chosen: np.ndarray) -> "Histories":
        """Those of the interactions that `chosen` [n] bool marks; every user stays, maybe with none."""
        ends = np.append(0, np.cumsum(chosen))[self.indptr]
        return Histories(ends, self.item[chosen], self.time[chosen], self.weight[chosen])

    def matrix(self, items: int) -> sp.csr_matrix:
        """Who watched what, [users, items] float32 of ones, column indices sorted, repeated pairs once."""
        ones = np.ones(len(self.item), dtype=np.float32)
        matrix = sp.csr_matrix((ones, self.item, self.indptr), shape=(len(self.indptr) - 1, items)).sorted_indices()
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix


def read(path: Path) -> tuple[Histories, np.ndarray, np.ndarray]:
    """The histories in a parquet file of user_id, item_id, datetime, weight, and the ids of users and items.

    The rows are ordered by user, then time; they are read in batches, so that the ids of the rows are never in memory.
    """
    file = pq.ParquetFile(path)
    item_ids = _distinct(batch["item_id"] for batch in file.iter_batches(columns=["item_id"]))
    index, parts = pd.Index(item_ids), list[tuple[np.ndarray, ...]]()
    for batch in file.iter_batches(BATCH):
        runs, items = pc.run_end_encode(batch["user_id"]), batch["item_id"].dictionary_encode()
        code = index.get_indexer(pd.Index(items.dictionary.to_numpy(zero_copy_only=False))).astype(np.int32)
        time = batch["datetime"].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        users = runs.values.to_numpy(zero_copy_only=False), np.diff(np.asarray(runs.run_ends), prepend=0)
        parts.append((*users, code[np.asarray(items.indices)], np.asarray(time), np.asarray(batch["weight"])))
    user, length, item, time, weight = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    first = np.flatnonzero(
        np.append(True, user[1:] != user[:-1])
    )  # a user's rows may begin in one batch, end in another
    indptr = np.append(0, np.cumsum(np.add.reduceat(length, first)))
    return Histories(indptr, item, time, weight), user[first], item_ids


def _distinct(columns: Iterable[pa.Array]) -> np.ndarray:
    """The values of all columns, ascending, each once."""
    values = pa.chunked_array([pc.unique(column) for column in columns]).unique()
    return values.take(pc.sort_indices(values)).to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class Features:
    """Everything that a model may learn from.

    users [users, columns] and items [items, columns] CSR float32 of one-hot and multi-hot columns, then of the words of
    `columns.text`; user_ids and item_ids in the order of the rows, ascending (see `ids`). disliked [users, items] CSR
    float32 of ones: items that are not to be recommended to a user, although they are not in the history; None if there
    are none. ages [items, buckets] CSR float32: the bucket of each item's age when the test begins (see `vocabulary`),
    of which only new items make use.

    spec: "user_columns" and "item_columns", the values or words by column of the table, in the order of the matrix;
    "user_readings" and "item_readings", how their cells are read (see `encode`); "item_texts", the idf of the words by
    column of text, and "text_model", if there are any (see `text`); "split", days or leave-last;
    "moment", when the test period begins, in seconds since 1970; "days", its length, for a split by days; "repeats",
    drop or keep: whether the test has items that the user has watched in train; "timed", whether the data have times,
    not only an order; and, once saved, "data", a hash of all files.
    """

    histories: Histories
    users: sp.csr_matrix
    items: sp.csr_matrix
    user_ids: np.ndarray
    item_ids: np.ndarray
    spec: dict[str, Any]
    disliked: sp.csr_matrix | None = None
    ages: sp.csr_matrix | None = None

    @cached_property
    def seen(self) -> sp.csr_matrix:
        """Who watched what in train, [users, items] float32 of ones."""
        return self.histories.matrix(len(self.item_ids))

    @cached_property
    def excluded(self) -> sp.csr_matrix:
        """What the lists of the test leave out, [users, items] float32 of ones: seen items, and those disliked."""
        parts = [self.seen] if self.spec["repeats"] == "drop" else []
        parts += [] if self.disliked is None else [self.disliked]
        return sp.csr_matrix(sum(parts, sp.csr_matrix(self.seen.shape, dtype=np.float32)) > 0, dtype=np.float32)

    @cached_property
    def described(self) -> sp.csr_matrix:
        """All that is said of the items, [items, columns + buckets] CSR float32."""
        return self.items if self.ages is None else sp.csr_matrix(sp.hstack([self.items, self.ages]))

    @property
    def categories(self) -> dict[str, list[str]]:
        """The values by column of the items, without the words and vectors of texts; these come last in the matrix."""
        texts, columns = self.spec.get("item_texts", {}), self.spec["item_columns"]
        return {name: values for name, values in columns.items() if name.removesuffix(VECTORS) not in texts}

    @cached_property
    def counts(self) -> np.ndarray:
        """How many users watched each item in train, [items] int64."""
        return np.bincount(self.seen.indices, minlength=len(self.item_ids))

    @cached_property
    def age(self) -> np.ndarray:
        """Days between each interaction and the newest one, [n] float64."""
        time = self.histories.time
        return (time.max() - time) / DAY

    def passes(self, number: int | str, most: int, fewest: int) -> int:
        """How often an iterative model goes over the histories: `number` times; for auto `most`, or fewer if large."""
        return min(most, max(fewest, PASSED // len(self.histories.item))) if number == "auto" else int(number)

    @property
    def by_days(self) -> bool:
        """Whether the test is the last days of the data, not the last items of each user."""
        return self.spec["split"] == "days"


def save(out: Path, features: Features) -> None:
    """Write the folder of features (npz and json)."""
    h = features.histories
    write_npz(out / "histories.npz", indptr=h.indptr, item=h.item, time=h.time, weight=h.weight)
    for name in ("users", "items", *OPTIONAL):
        if (matrix := getattr(features, name)) is not None:
            write_sparse(out / f"{name}.npz", matrix)
    ids.save(out / "user_ids.parquet", features.user_ids)
    ids.save(out / "item_ids.parquet", features.item_ids)
    hashes = "".join(sha256(path) for path in sorted(out.iterdir()))
    write_json(out / "spec.json", {**features.spec, "data": hashlib.sha256(hashes.encode()).hexdigest()})


def load(path: Path) -> Features:
    """Read the folder that `save` wrote."""
    try:
        with np.load(path / "histories.npz", allow_pickle=False) as file:
            histories = Histories(*(file[name] for name in ("indptr", "item", "time", "weight")))
        user_ids, item_ids = (ids.load(path / f"{side}_ids.parquet") for side in ("user", "item"))
        users, items = (sp.csr_matrix(sp.load_npz(path / f"{name}.npz")) for name in ("users", "items"))
        more = {name: sp.csr_matrix(sp.load_npz(file)) for name in OPTIONAL if (file := path / f"{name}.npz").exists()}
        spec = json.loads((path / "spec.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Problem(
            f"{path}: not a folder of features: {Path(error.filename).name} is missing; run the stage features first"
        ) from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise Problem(f"{path}: not a folder of features: {error}; run the stage features again") from None
    return Features(histories, users, items, user_ids, item_ids, spec, **more)
