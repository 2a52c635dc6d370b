"""The synthetic data set: KION's counts in miniature, equal bytes for equal seeds, tastes that can be learned."""

from pathlib import Path

from retrieval.sources import synthetic
from retrieval.sources.synthetic import Synthetic

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats.contingency import association
from worlds import section

SCALE = 0.001


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small")
    raw = synthetic.fetch(Synthetic(**section("synthetic", scale=SCALE)), 1, out)
    assert raw.rows == {"interactions.parquet": 5476, "users.parquet": 840, "items.parquet": 505}
    return out


def test_counts_are_kions(small: Path) -> None:
    rows = pd.read_parquet(small / "interactions.parquet")
    users, items = pd.read_parquet(small / "users.parquet"), pd.read_parquet(small / "items.parquet")
    # 962,179 users and 5,476,251 rows times 0.001; 15,706 and 15,963 items times its root, 0.0316
    assert (len(rows), rows["user_id"].nunique(), rows["item_id"].nunique()) == (5476, 962, 497)
    assert not rows.duplicated(["user_id", "item_id"]).any()
    assert rows["value"].isna().sum() == 1  # 828 times 0.001
    assert rows["time"].min() >= pd.Timestamp("2021-03-13")
    assert rows["time"].max() <= pd.Timestamp("2021-08-22")
    assert users["user_id"].is_unique
    assert items["item_id"].is_unique
    assert rows["item_id"].isin(items["item_id"]).all()
    assert (
        users["user_id"].isin(rows["user_id"]).sum() == 744
    )  # 744,288 of the 840,197 users in users.csv have watched anything
    length = rows["user_id"].value_counts()
    assert 0.5 < (length <= 3).mean() < 0.7
    assert length.max() > 50


def test_the_columns_are_kions(small: Path) -> None:
    users, items = pq.read_table(small / "users.parquet"), pq.read_table(small / "items.parquet")
    assert users.column_names == ["user_id", "age", "income", "sex", "kids_flg"]
    assert sum(len(users[name].unique().drop_null()) for name in users.column_names[1:]) == 16
    assert items.column_names == [
        "item_id", "content_type", "title", "title_orig", "release_year", "genres", "countries", "for_kids",
        "age_rating", "studios", "directors", "actors", "description", "keywords",
    ]  # fmt: skip
    names = pq.read_schema(small / "interactions.parquet").names
    assert names == ["user_id", "item_id", "time", "tie", "value", "duration"]


def test_equal_seeds_write_equal_bytes_and_others_do_not(small: Path, tmp_path: Path) -> None:
    synthetic.fetch(Synthetic(**section("synthetic", scale=SCALE)), 1, tmp_path)
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in small.iterdir())
    synthetic.fetch(Synthetic(**section("synthetic", scale=SCALE)), 2, tmp_path)
    assert not any((tmp_path / path.name).read_bytes() == path.read_bytes() for path in small.iterdir())


def test_the_smallest_scale_works(tmp_path: Path) -> None:
    raw = synthetic.fetch(Synthetic(**section("synthetic", scale=1e-4)), 0, tmp_path)
    assert raw.rows == {"interactions.parquet": 548, "users.parquet": 84, "items.parquet": 160}


def test_new_items_appear_in_the_last_weeks(tmp_path: Path) -> None:
    """Premieres are releases of 2021, and others of their theme have been watched before."""
    synthetic.fetch(Synthetic(**section("synthetic", scale=0.04)), 1, tmp_path)
    rows, items = pd.read_parquet(tmp_path / "interactions.parquet"), pd.read_parquet(tmp_path / "items.parquet")
    first = rows.groupby("item_id")["time"].min()
    new = first.index[first > rows["time"].max() - pd.Timedelta(days=14)]
    assert 16 <= len(new) <= 128
    views = rows["item_id"].value_counts()[new]
    premieres = items.set_index("item_id").loc[views.index[views > 3], "release_year"]
    assert len(premieres) > 8
    assert (premieres == "2021.0").mean() > 0.6
    genres = items.set_index("item_id")["genres"].str.split(", ").str[0]
    assert genres[new].isin(genres[first.index.difference(new)]).all()


def recall_at_10(scores: np.ndarray, seen: np.ndarray, relevant: np.ndarray) -> float:
    """Mean Recall@10 over users; scores, seen and relevant [users, items]."""
    scores = np.where(seen, -np.inf, scores)
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float((np.take_along_axis(relevant, top, axis=1).sum(axis=1) / relevant.sum(axis=1)).mean())


def test_popularity_decides_and_taste_multiplies_it(tmp_path: Path) -> None:
    """On the last week, popularity is as good as ItemKNN, and multiplied by the share of the user's history that is of
    the item's theme it is better than both by a tenth."""
    synthetic.fetch(Synthetic(**section("synthetic", scale=0.02)), 0, tmp_path)
    rows, described = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("interactions", "items"))
    moment = rows["time"].max() - pd.Timedelta(days=6)
    before, after = rows[rows["time"] < moment], rows[rows["time"] >= moment]
    after = after[after["user_id"].isin(before["user_id"]) & after["item_id"].isin(before["item_id"])]
    users, items = after["user_id"].unique(), before["item_id"].unique()

    def matrix(rows: pd.DataFrame, users: np.ndarray) -> np.ndarray:
        table = np.zeros((len(users), len(items)), dtype=np.float32)
        table[pd.Index(users).get_indexer(rows["user_id"]), pd.Index(items).get_indexer(rows["item_id"])] = 1
        return table

    everyone = matrix(before, before["user_id"].unique())
    train, test = matrix(before[before["user_id"].isin(users)], users), matrix(after, users)
    views = everyone.sum(axis=0)
    cosine = everyone.T @ everyone / np.sqrt(np.outer(views, views))
    np.fill_diagonal(cosine, 0)
    genre = described.set_index("item_id")["genres"][items].str.extract(r"(\d+)")[0].astype(int)  # of the first one
    theme = np.eye(synthetic.THEMES)[(genre - 1) // (synthetic.GENRES // synthetic.THEMES)]
    taste = (train @ theme + 1 / synthetic.THEMES) @ theme.T
    popular, personal, both = (
        recall_at_10(scores, train > 0, test)
        for scores in (np.tile(views, (len(users), 1)), train @ cosine, views * taste)
    )
    assert popular > 0.95 * personal
    assert both > 1.1 * max(popular, personal)


def test_tastes_follow_age_and_sex_and_nothing_else(small: Path) -> None:
    rows = pd.read_parquet(small / "interactions.parquet")
    users, items = pd.read_parquet(small / "users.parquet"), pd.read_parquet(small / "items.parquet")
    rows = rows.merge(users, on="user_id").merge(items, on="item_id")
    genre = rows["genres"].str.split(",").str[0]  # the first one is the niche's own
    tied = {name: association(pd.crosstab(rows[name], genre).to_numpy()) for name in users.columns[1:]}  # Cramér's V
    assert min(tied["age"], tied["sex"]) > 0.2
    assert max(tied["income"], tied["kids_flg"]) < 0.15
