"""Columns by name: named, recognised, ambiguous, missing."""

from retrieval.errors import Problem
from retrieval.sources.mapping import AUTO, Mapping, columns_of, described, key_of

import pytest


def find(header: str, **changes: str) -> dict[str, str]:
    return columns_of("f.csv", header.split(","), Mapping(**(AUTO | changes)))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (
            "user_id,item_id,last_watch_dt,total_dur,watched_pct",  # KION
            {"user": "user_id", "item": "item_id", "time": "last_watch_dt", "value": "watched_pct",
             "duration": "total_dur"},
        ),
        (
            "userId,movieId,rating,timestamp",  # MovieLens
            {"user": "userId", "item": "movieId", "time": "timestamp", "value": "rating"},
        ),
        (
            "user_id:token,item_id:token,rating:float,timestamp:float",  # RecBole
            {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float", "value": "rating:float"},
        ),
        (
            "overall,verified,reviewTime,reviewerID,asin,reviewerName,reviewText,unixReviewTime",  # Amazon 2018
            {"user": "reviewerID", "item": "asin", "time": "unixReviewTime", "value": "overall"},
        ),
        (
            "rating,title,text,asin,parent_asin,user_id,timestamp,helpful_vote",  # Amazon 2023
            {"user": "user_id", "item": "parent_asin", "time": "timestamp", "value": "rating"},
        ),
        (
            "timestamp,visitorid,event,itemid,transactionid",  # RetailRocket
            {"user": "visitorid", "item": "itemid", "time": "timestamp", "event": "event"},
        ),
        (
            "uid,timestamp,item_id,is_organic,played_ratio_pct,track_length_seconds",  # Yambda
            {"user": "uid", "item": "item_id", "time": "timestamp", "value": "played_ratio_pct"},
        ),
        (
            "event_date,event_timestamp,event_name,user_pseudo_id,item_id,item_name",  # Google Analytics
            {"user": "user_pseudo_id", "item": "item_id", "time": "event_timestamp", "event": "event_name"},
        ),
        ("user_id,book_id,rating", {"user": "user_id", "item": "book_id", "value": "rating"}),  # goodbooks
        ("User-ID,ISBN,Book-Rating", {"user": "User-ID", "item": "ISBN", "value": "Book-Rating"}),
        ("username,artist,track,played_at", {"user": "username", "item": "track", "time": "played_at"}),
    ],
)  # fmt: skip
def test_exports_are_recognised(header: str, found: dict[str, str]) -> None:
    assert find(header) == found
    assert list(find(header)) == [
        role for role in ("user", "item", "time", "value", "event", "duration") if role in found
    ]


def test_what_was_recognised_is_said_but_for_kions_own_names() -> None:
    assert described(find("visitorid,item_id,ts")) == ["visitorid is the user", "ts is the time"]
    assert described(find("user_id,item_id,last_watch_dt,total_dur,watched_pct")) == []


def test_columns_may_be_named_or_switched_off() -> None:
    found = find("a,b,c,rating,event", user="a", item="b", time="c", value="none", event="none")
    assert found == {"user": "a", "item": "b", "time": "c"}


@pytest.mark.parametrize(
    ("header", "changes", "message"),
    [
        ("a,b", {}, r"f\.csv: no column is recognised as the user; the columns are b, a: set mapping\.user=NAME$"),
        ("user,b", {}, r"no column is recognised as the item; the columns are .*: set mapping\.item=NAME"),
        ("user,uid,item", {}, r"'user' and 'uid' may both be the user: set mapping\.user=NAME"),
        ("user_id,userId,item", {}, r"'user_id' and 'userId' may both be the user"),
        ("user,item,rating,stars", {}, r"'rating' and 'stars' may both be the value: set mapping\.value=NAME"),
        (
            "user,item,when",
            {"time_format": "s"},
            r"time_format is set, but no column is recognised as the time; the columns are .*: set mapping\.time=NAME",
        ),
        ("user,item,when", {"time": "wen"}, r"mapping\.time: no column 'wen'; the columns are when, "),
        ("user,item", {"item": "user"}, r"column 'user' is both mapping\.user and mapping\.item"),
    ],
)
def test_what_is_refused(header: str, changes: dict[str, str], message: str) -> None:
    with pytest.raises(Problem, match=message):
        find(header, **changes)


def test_of_many_columns_only_the_nearest_are_named() -> None:
    header = ",".join([f"c{k}" for k in range(300)] + ["my_user", "item_id"])
    with pytest.raises(Problem, match=r"the columns are my_user, .* and 294 more: set mapping\.user=NAME") as caught:
        find(header)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("header", "column", "key"),
    [
        ("item_id,title", "asin", "item_id"),
        ("title,asin,item_id", "asin", "asin"),
        ("movieId,title", "movie_id", "movieId"),
        ("id,title", "item_id", "id"),
        ("id,name,sku", "product_id", "id"),  # a shop's number of its own says less
    ],
)
def test_the_key_of_items_is_called_as_in_the_interactions_or_recognised(header: str, column: str, key: str) -> None:
    assert key_of("f.csv", header.split(","), "item", column) == key


def test_items_without_a_key() -> None:
    with pytest.raises(
        Problem, match=r"call it sku, as in the interactions, or leave the file out with mapping\.items=none"
    ):
        key_of("f.csv", ["title", "year"], "item", "sku")
