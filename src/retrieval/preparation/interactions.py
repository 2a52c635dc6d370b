"""From the rows of interactions.csv to train, test and cold, with an account of every row."""

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
    """Rows dropped, by reason: rows in = rows kept + rows dropped."""

    dropped: Counter[str] = field(default_factory=Counter)

    def keep(self, rows: pd.DataFrame, stay: np.ndarray | pd.Series, reason: str) -> pd.DataFrame:
        """The rows that stay; those that do not are counted under the reason."""
        stay = np.asarray(stay)
        self.dropped[reason] += int(len(stay) - stay.sum())
        return rows[stay]


@dataclass(frozen=True)
class Prepared:
    """Tables user_id, item_id int64, datetime, weight float32 (the bin of the share watched), in time order.

    test: rows of users and items that train knows; cold: those of users that it does not know. moment: seconds since
    1970 UTC at which the test begins. dropped: rows by reason.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    cold: pd.DataFrame
    moment: int
    dropped: dict[str, int]


def prepare(table: pa.Table, described: np.ndarray, kind: str, split: Split, limits: Filter) -> Prepared:
    """Clean, split and filter the table of `tables.read_interactions`.

    described [m]: the ids of users.csv, none without that file; kind: a name in SPLITS. Step by step:
    1. Rows without watched_pct are dropped, from train as in the notebook and from test by the same rule: nothing
       says that anything was watched. The rest is put in time order, ties in file order.
    2. The split. It comes before repeated (user, item) pairs are resolved: the other way round, a second view in the
       test period would take the first one out of train, where it was known at the time.
    3. Of a pair that stands twice in train or twice in test, the last row stays. A test row whose pair is in train is
       dropped: the test asks for what is new to the user.
    4. The filter, if it is on. The users of the test period are those before any test row is dropped, as in the
       notebook. With the filter on, users without a row in users.csv go, too.
    5. Test rows of items unknown to train are dropped; those of users unknown to train become cold.
    6. Shares become bins, with edges laid over train.
    """
    account = Account()
    rows = table.to_pandas().rename(columns={"last_watch_dt": "datetime", "watched_pct": "weight"})
    rows = account.keep(rows, rows["weight"].notna(), "no_watched_pct").sort_values("datetime", kind="stable")
    if rows.empty:
        raise Problem("interactions.csv: watched_pct is empty in every row")
    parts = SPLITS[kind](rows["user_id"].to_numpy(), rows["datetime"].to_numpy().view(np.int64), split)
    train, test = rows[parts.part == TRAIN], rows[parts.part == TEST]
    account.dropped["after_the_test"] += len(rows) - len(train) - len(test)
    hot = test["user_id"].unique()
    train, test = (account.keep(part, ~part.duplicated(PAIR, keep="last"), "repeated") for part in (train, test))
    test = account.keep(test, ~pd.concat([train[PAIR], test[PAIR]]).duplicated()[len(train) :], "seen_in_train")
    if limits.enabled:
        train = _filter(train, hot, described, limits, account)
    test = account.keep(test, test["item_id"].isin(train["item_id"]), "item_not_in_train")
    warm = test["user_id"].isin(train["user_id"]).to_numpy()
    if not warm.any():
        raise Problem(f"split: no test row is of a user and an item that train knows; dropped: {dict(account.dropped)}")
    laid = edges(train["weight"].to_numpy())
    train, test, cold = (
        part.assign(weight=bins(part["weight"].to_numpy(), laid)) for part in (train, test[warm], test[~warm])
    )
    return Prepared(train, test, cold, parts.moment, dict(account.dropped))


def _filter(
    train: pd.DataFrame, hot: np.ndarray, described: np.ndarray, limits: Filter, account: Account
) -> pd.DataFrame:
    stay = active(train["user_id"].to_numpy(), train["item_id"].to_numpy(), hot, limits)
    train = account.keep(train, stay, "filtered")
    if len(described):
        train = account.keep(train, train["user_id"].isin(described), "user_not_in_users_csv")
    if train.empty:
        raise Problem(
            f"filter: leaves no train row with user_interactions={limits.user_interactions} "
            f"and item_interactions={limits.item_interactions}"
        )
    return train


def entities(table: pa.Table, key: str, ids: np.ndarray) -> tuple[pa.Table, dict[str, int]]:
    """The rows of a table of users or items whose id is in `ids`, ids ascending, and rows dropped by reason.

    Of an id that stands twice the last row stays.
    """
    account = Account()
    rows = pd.DataFrame({key: table[key].to_numpy(), "row": np.arange(len(table))})
    rows = account.keep(rows, ~rows.duplicated(key, keep="last"), "repeated")
    rows = account.keep(rows, rows[key].isin(ids), "not_in_interactions").sort_values(key)
    return table.take(pa.array(rows["row"].to_numpy())), dict(account.dropped)
