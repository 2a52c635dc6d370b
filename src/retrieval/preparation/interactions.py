"""From interactions.csv to train, test and cold interactions; every dropped row is counted."""

from collections import Counter
from dataclasses import dataclass, field

from retrieval.errors import Problem
from retrieval.preparation.filters import Filter, active
from retrieval.preparation.split import SPLITS, TEST, TRAIN, Split
from retrieval.preparation.weights import bins, edges

import numpy as np
import pandas as pd
import pyarrow as pa

PAIR = ["user_id", "item_id"]


@dataclass
class Account:
    """Counts the dropped rows by reason, so that rows in = rows out + rows dropped."""

    dropped: Counter[str] = field(default_factory=Counter)

    def keep(self, rows: pd.DataFrame, mask: np.ndarray | pd.Series, reason: str) -> pd.DataFrame:
        """The rows where `mask` [rows] bool is true; the others are counted under `reason`."""
        mask = np.asarray(mask)
        self.dropped[reason] += int(len(mask) - mask.sum())
        return rows[mask]


@dataclass(frozen=True)
class Interactions:
    """Tables user_id, item_id int64, datetime, weight float32 (the bin of the share watched), in time order.

    test: rows of the test period whose user and item are in train; cold: rows whose item is in train and whose user is
    not. moment: that of `split.Parts`. dropped: number of rows by reason.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    cold: pd.DataFrame
    moment: int
    dropped: dict[str, int]


def prepare(table: pa.Table, user_ids: np.ndarray, kind: str, split: Split, limits: Filter) -> Interactions:
    """Clean, split and filter the table of `tables.read_interactions`.

    user_ids [m]: those of users.csv, empty without that file; kind: a name in SPLITS. In this order:
    1. Drop rows without watched_pct: they do not say that anything was watched. Sort by time, ties in file order.
    2. Split. This comes before repeated (user, item) pairs are dropped: otherwise a second view in the test period
       would remove the first one from train.
    3. Keep the last row of a pair that is repeated within train or within test. Drop test rows whose pair is in train:
       the test asks for items new to the user.
    4. Filter train, if enabled. All users of the test period are exempt, even those whose test rows step 3 has dropped,
       as in the notebook. The filter also drops users without a row in users.csv.
    5. Drop test rows whose item is not in train. Of the others, those whose user is not in train are cold.
    6. Turn shares into bins, with edges from train.

    Raises `Problem` if train or test would be empty.
    """
    account = Account()
    rows = _clean(table, account)
    parts = SPLITS[kind](rows["user_id"].to_numpy(), rows["datetime"].to_numpy().view(np.int64), split)
    train, test = rows[parts.part == TRAIN], rows[parts.part == TEST]
    account.dropped["after_the_test"] += len(rows) - len(train) - len(test)
    test_users = test["user_id"].unique()
    train, test = (account.keep(part, ~part.duplicated(PAIR, keep="last"), "repeated") for part in (train, test))
    test = account.keep(test, ~pd.concat([train[PAIR], test[PAIR]]).duplicated()[len(train) :], "seen_in_train")
    if limits.enabled:
        train = _filter(train, test_users, user_ids, limits, account)
    test = account.keep(test, test["item_id"].isin(train["item_id"]), "item_not_in_train")
    warm = test["user_id"].isin(train["user_id"]).to_numpy()
    if not warm.any():
        raise Problem(f"split: no test row has its user and its item in train; dropped: {dict(account.dropped)}")
    bin_edges = edges(train["weight"].to_numpy())
    train, test, cold = (
        part.assign(weight=bins(part["weight"].to_numpy(), bin_edges)) for part in (train, test[warm], test[~warm])
    )
    return Interactions(train, test, cold, parts.moment, dict(account.dropped))


def _clean(table: pa.Table, account: Account) -> pd.DataFrame:
    """The rows with a share, in time order."""
    rows = table.to_pandas().rename(columns={"last_watch_dt": "datetime", "watched_pct": "weight"})
    rows = account.keep(rows, rows["weight"].notna(), "no_watched_pct").sort_values("datetime", kind="stable")
    if rows.empty:
        raise Problem("interactions.csv: column 'watched_pct' is empty in every row; expected the percentage watched")
    return rows


def _filter(
    train: pd.DataFrame, test_users: np.ndarray, user_ids: np.ndarray, limits: Filter, account: Account
) -> pd.DataFrame:
    mask = active(train["user_id"].to_numpy(), train["item_id"].to_numpy(), test_users, limits)
    train = account.keep(train, mask, "filtered")
    if len(user_ids):
        train = account.keep(train, train["user_id"].isin(user_ids), "user_not_in_users_csv")
    if train.empty:
        raise Problem(
            f"filter: no row is left for train with user_interactions={limits.user_interactions} "
            f"and item_interactions={limits.item_interactions}; lower them"
        )
    return train


def entities(table: pa.Table, key: str, ids: np.ndarray) -> tuple[pa.Table, dict[str, int]]:
    """The rows of a table of users or items whose id is in `ids`, by ascending id, and the dropped rows by reason.

    If an id appears more than once, its last row is kept.
    """
    account = Account()
    rows = pd.DataFrame({key: table[key].to_numpy(), "row": np.arange(len(table))})
    rows = account.keep(rows, ~rows.duplicated(key, keep="last"), "repeated")
    rows = account.keep(rows, rows[key].isin(ids), "not_in_interactions").sort_values(key)
    return table.take(pa.array(rows["row"].to_numpy())), dict(account.dropped)
