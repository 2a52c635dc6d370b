"""Exports as well-known systems and data sets write them, tiny but true to form: each runs, or says how to go on."""

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import repositories
from pipelines import Content, Run, run, run_stages

# User, item and day of January 2024, at noon. The last seven days begin on the 15th: rows of user 4 are cold, and those
# of users 1 and 2 on the 20th and 21st are the test. The last row of each user but 4 is the test of leave-last.
LOG = [(1, 1, 1), (2, 1, 2), (1, 2, 3), (2, 3, 4), (3, 2, 5), (3, 1, 6), (1, 3, 20), (2, 2, 21), (4, 3, 22)]
BY_DAYS = {"train": 6, "test": 2, "cold": 1}
LEAVE_LAST = {"train": 6, "test": 3, "cold": 0}


def moment(day: int) -> datetime:
    return datetime(2024, 1, day, 12, tzinfo=UTC)


def unix(day: int) -> int:
    return int(moment(day).timestamp())


def lines(*rows: object, header: str = "") -> str:
    return "\n".join([*([header] if header else []), *map(str, rows), ""])


def follow(result: Run) -> str:
    """Run the command with which a refusal ends, where the stages run, and return it."""
    command = re.search(r": ((?:sed|iconv|python|zcat|zstdcat|tr) .*)$", result.refused)
    assert command, result.refused
    assert "\n" not in result.refused
    repositories.run(result.root, "bash", "-euc", command[1])
    return command[1]


def heard(result: Run) -> str:
    """What fetch has said, or the line with which a stage ended."""
    return result.refused or " | ".join(line for line in result.said if line.startswith("fetch: "))


REVIEWS_2014 = "reviewerID,asin,reviewerName,helpful,reviewText,overall,summary,unixReviewTime,reviewTime"


def test_amazon_reviews_of_2014(tmp_path: Path) -> None:
    rows = [
        f'A{u}Z,000{i}B,"J. ""Jo"" Doe","[0, 1]","Good,\nreally ""good""",{4.0 + (u < 3)},Nice,{unix(d)},"01 {d}, 2024"'
        for u, i, d in LOG
    ]
    result = run(tmp_path, {"reviews.csv": lines(*rows, header=REVIEWS_2014)}, "positives.min_value=5")
    assert "reviewerID is the user, asin is the item, unixReviewTime is the time, overall is the value" in heard(result)
    assert result.kept == {"train": 4, "test": 2, "cold": 0}  # users 1 and 2 gave 5
    assert result.dropped == {"below_min_value": 3}
    assert result.features.user_ids.tolist() == ["A1Z", "A2Z"]
    assert result.features.item_ids.tolist() == ["0001B", "0002B", "0003B"]


def test_amazon_reviews_of_2023(tmp_path: Path) -> None:
    header = "rating,title,text,images,asin,parent_asin,user_id,timestamp,helpful_vote,verified_purchase"
    rows = [f'{i}.0,"So, so","Fits\r\nme",[],000{i}C,000{i},AG{u},{unix(d)}123,0,True' for u, i, d in LOG]
    result = run(tmp_path, {"Books.csv": lines(*rows, header=header)}, "mapping.interactions=Books.csv")
    assert "parent_asin is the item, timestamp is the time, rating is the value, times are unix milli" in heard(result)
    assert result.kept == BY_DAYS
    assert result.features.item_ids.tolist() == ["0001", "0002", "0003"]


@pytest.mark.parametrize("form", ["lines", "gzip", "array"])
def test_amazon_reviews_as_json(tmp_path: Path, form: str) -> None:
    records = [
        {"rating": float(i), "images": [{"small": "x"}], "asin": f"000{i}", "user_id": f"AG{u}", "timestamp": unix(d)}
        for u, i, d in LOG
    ]
    text = json.dumps(records, indent=1) if form == "array" else lines(*map(json.dumps, records))
    name, data = ("All.jsonl.gz", gzip.compress(text.encode())) if form == "gzip" else ("All.json", text.encode())
    result = run(tmp_path, {name: data})
    assert result.refused.startswith(f"fetch: mine/{name}: JSON, expected CSV or parquet")
    follow(result)
    result = run_stages(tmp_path)
    assert result.kept == BY_DAYS
    assert result.features.item_ids.tolist() == ["0001", "0002", "0003"]
    assert f"fetch: not read: {name}" in result.said


MOVIES = ["1::Toy Story (1995)::Musical|Children's", "2::Misérables, Les (1995)::Drama|Musical", "3::Heat::Drama"]


def test_movielens_1m(tmp_path: Path) -> None:
    files = {
        "README": "text",
        "ratings.dat": lines(*(f"{u}::{i}::{3 + u % 3}::{unix(d)}" for u, i, d in LOG)),
        "movies.dat": lines(*MOVIES).encode("latin-1"),
        "users.dat": lines(*(f"{u}::F::{u % 2}::10::48067" for u in range(1, 5))),
    }
    result, commands = run(tmp_path, files), list[str]()
    while result.refused:
        commands.append(follow(result))
        assert len(commands) < 6
        result = run_stages(tmp_path)
    assert [command.split()[0] for command in commands] == ["sed", "iconv", "sed", "sed"]
    assert result.kept == BY_DAYS
    assert result.features.spec["item_columns"]["genres"] == ["Children's", "Drama", "Musical"]
    assert result.features.spec["user_columns"]["age"] == ["0", "1"]
    assert result.table("prepared/items")["title"].to_pylist()[1] == "Misérables, Les (1995)"


def test_movielens_latest(tmp_path: Path) -> None:
    files = {
        "ratings.csv": lines(
            *(f"{u},{i},{i}.5,{unix(d)}" for u, i, d in LOG), header="userId,movieId,rating,timestamp"
        ),
        "movies.csv": lines(
            '1,"American President, The (1995)",Comedy|Drama', "2,Heat (1995),Comedy", "3,Odd,(no genres listed)",
            header="movieId,title,genres",
        ),
        "tags.csv": lines("1,1,funny,1445714994", header="userId,movieId,tag,timestamp"),
        "links.csv": lines("1,0114709,862", header="movieId,imdbId,tmdbId"),
        "README.txt": "text",
    }  # fmt: skip
    result = run(tmp_path, files)
    assert result.kept == BY_DAYS
    assert "userId is the user, movieId is the item, timestamp is the time, rating is the value" in heard(result)
    assert "fetch: not read: links.csv, tags.csv" in result.said
    assert result.features.spec["item_columns"]["genres"] == ["(no genres listed)", "Comedy", "Drama"]


def test_recbole(tmp_path: Path) -> None:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    files = {
        "ml.inter": lines(*(f"{u}\t{i}\t4\t{unix(d)}.0" for u, i, d in LOG), header=header),
        "ml.item": lines(
            '1\t"Heroes" (\t1995\tComedy Drama', "2\tHeat\t1995\tDrama", "3\tOdd\t\t",
            header="item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        ),
        "ml.user": lines("1\t24\tM", "2\t53\tF", header="user_id:token\tage:token\tgender:token"),
    }  # fmt: skip
    result = run(tmp_path, files)
    assert "user_id:token is the user, item_id:token is the item, timestamp:float is the time" in heard(result)
    assert result.kept == BY_DAYS
    assert result.features.spec["item_columns"]["class"] == ["Comedy", "Drama"]
    assert result.features.spec["item_columns"]["movie_title"] == ['"Heroes"', "(", "Heat", "Odd"]
    assert result.features.users.sum() == 4


def test_retailrocket(tmp_path: Path) -> None:
    bought = {(1, 2), (2, 3), (3, 2), (1, 3), (4, 3)}
    rows = [
        row
        for u, i, d in LOG
        for row in (
            f"{unix(d)}117,{u}57016,view,{i}355908,",
            *([f"{unix(d)}999,{u}57016,transaction,{i}355908,12"] if (u, i) in bought else []),
        )
    ]
    properties = lines("1435460400000,460429,categoryid,1338", header="timestamp,itemid,property,value")
    files = {
        "events.csv": lines(*rows, header="timestamp,visitorid,event,itemid,transactionid"),
        "item_properties_part1.csv": properties,
        "item_properties_part2.csv": properties,
        "category_tree.csv": lines("1016,213", header="categoryid,parentid"),
    }
    result = run(tmp_path / "all", files)
    assert result.kept == BY_DAYS
    assert result.dropped == {"repeated": 5}
    assert "fetch: not read: category_tree.csv, item_properties_part1.csv, item_properties_part2.csv" in result.said
    assert "all kinds of events count as positives: view (9), transaction (5)" in " ".join(result.said)
    result = run(tmp_path / "bought", files, "positives.events=[transaction]")
    assert result.kept == {"train": 3, "test": 1, "cold": 1}
    assert result.dropped == {"other_event": 9}


LASTFM = "userid-timestamp-artid-artname-traid-traname.tsv"


def plays(title: str) -> str:
    return lines(
        *(f"user_00000{u}\t{moment(d):%Y-%m-%dT%H:%M:%SZ}\tf1b1cf71-{i}\tArtist {i}\t\t{title}" for u, i, d in LOG)
    )


def test_lastfm_1k(tmp_path: Path) -> None:
    profile = lines("user_000001\tm\t\tJapan\tAug 13, 2006", header="#id\tgender\tage\tcountry\tregistered")
    result = run(
        tmp_path,
        {LASTFM: plays("Live (Part 1, 2)"), "userid-profile.tsv": profile},
        f"mapping.interactions={LASTFM}",
        "split.repeats=keep",
    )
    assert f"{LASTFM}: no header: the first row is user_000001, 2024-01-01T12:00:00Z" in result.refused
    assert r"sed '1i user_id\ttimestamp\titem_id\tcolumn_4\tcolumn_5\tcolumn_6'" in follow(result)
    result = run(tmp_path, {}, "split.repeats=keep")
    assert result.kept == BY_DAYS
    assert result.features.user_ids.tolist() == ["user_000001", "user_000002", "user_000003"]
    assert result.features.item_ids.tolist() == ["f1b1cf71-1", "f1b1cf71-2", "f1b1cf71-3"]


@pytest.mark.parametrize("title", ['"Heroes" (2012)', 'Live at "The', '"Heroes'])
@pytest.mark.parametrize("rows", [8, 9])  # of an even number, each quotation mark is closed by that of the next row
def test_titles_with_quotation_marks(tmp_path: Path, title: str, rows: int) -> None:
    header = "user_id\ttimestamp\titem_id\tartist\ttrack_id\ttrack\n"
    result = run(tmp_path, {"plays.tsv": header + "".join(plays(title).splitlines(keepends=True)[:rows])})
    if result.refused:
        assert "quotation mark" in result.refused
        follow(result)
        result = run_stages(tmp_path)
    assert sum(result.kept.values()) == rows


def test_yambda(tmp_path: Path) -> None:
    names = {"uid": pa.uint32(), "timestamp": pa.uint32(), "item_id": pa.uint32(), "is_organic": pa.uint8()}
    names |= {"played_ratio_pct": pa.uint16(), "track_length_seconds": pa.uint32()}
    rows = [(u * 100, 86_400 * d + 5, i * 1000, 1, 20 * u, 185) for u, i, d in LOG]
    columns = zip(*rows, strict=True)
    listens = pa.table({name: pa.array(cells, names[name]) for name, cells in zip(names, columns, strict=True)})
    files: dict[str, Content] = {"listens.parquet": listens, "likes.parquet": listens.drop(["played_ratio_pct"])}
    result = run(tmp_path / "1", files)
    assert result.refused == (
        "fetch: mine: likes.parquet and listens.parquet may both be the interactions: set mapping.interactions=NAME"
    )
    result = run(tmp_path / "2", files, "mapping.interactions=listens.parquet")
    assert "row 1: 86405 does not look like unix time or a date; mapping.time_format=s (or ms, us, ns, d)" in (
        result.refused
    )
    settings = ("mapping.interactions=listens.parquet", "mapping.time_format=s", "positives.min_value=40")
    result = run(tmp_path / "3", files, *settings)
    assert "uid is the user, timestamp is the time, played_ratio_pct is the value, times are unix seconds" in (
        heard(result)
    )
    assert result.kept == {"train": 4, "test": 1, "cold": 1}  # user 1 has listened to 20 % of each track
    assert result.dropped == {"below_min_value": 3}


def test_goodreads(tmp_path: Path) -> None:
    rows = [f"{u},{i},1,{i + 2},0" for u, i, _ in LOG] + ["4,1,0,0,0"]
    files = {
        "goodreads_interactions.csv": lines(*rows, header="user_id,book_id,is_read,rating,is_reviewed"),
        "book_id_map.csv": lines("1,34684622", header="book_id_csv,book_id"),
        "user_id_map.csv": lines("1,8842281e1d1347389f2ab93d60773d4d", header="user_id_csv,user_id"),
        "books.csv": lines("1,Best Friends,3.83", header="book_id,title,average_rating"),
    }
    result = run(tmp_path / "1", files)
    assert result.refused == (
        "fetch: mine: which of book_id_map.csv, goodreads_interactions.csv, user_id_map.csv has the interactions? Set "
        "mapping.interactions=NAME, or . if all files are parts of one table"
    )
    result = run(tmp_path / "2", files, "mapping.interactions=goodreads_interactions.csv", "positives.min_value=4")
    assert "book_id is the item, rating is the value" in heard(result)
    assert "fetch: no times: the order of the file is that of time" in heard(result)
    assert result.dropped == {"below_min_value": 4}  # book 1 has 3 stars, and 0 where it is not read
    assert result.stats["split"] == "leave-last"
    assert result.kept == {"train": 4, "test": 2, "cold": 0}  # 1: 2, 3; 2: 3, 2; 3: 2; 4: 3
    assert result.pairs() == {(1, 3), (2, 2)}


def test_steam_200k(tmp_path: Path) -> None:
    names = {1: "The Elder Scrolls V Skyrim", 2: "Half-Life 2, Episode Two", 3: "Dota 2"}
    rows = [
        row
        for u, i, d in LOG
        for row in (
            f'15160{u},"{names[i]}",purchase,1.0,0',
            *([f'15160{u},"{names[i]}",play,{d}.5,0'] if d > 2 else []),
        )
    ]
    result = run(tmp_path, {"steam-200k.csv": lines(*rows)})
    assert "no header: the first row is 151601, The Elder Scrolls V Skyrim, purchase, 1.0, 0; add one" in result.refused
    assert "sed '1i user_id,item_id,column_3,column_4,column_5'" in follow(result)
    result = run_stages(tmp_path)  # the last row of user 1 is the play of game 3, and train has its purchase
    assert "train has all pairs of the test; split.repeats=keep keeps them in the test" in result.refused
    result = run(tmp_path, {}, "mapping.event=column_3", "positives.events=[purchase]")
    assert result.kept == LEAVE_LAST
    assert result.dropped == {"other_event": 7}
    result = run(tmp_path, {}, "mapping.event=column_3", "mapping.value=column_4", "positives.events=[play]")
    assert result.dropped == {"other_event": 9, "item_not_in_train": 1}
    assert result.kept == {"train": 4, "test": 2, "cold": 0}  # 1: 2, 3; 2: 3, 2; 3: 2, 1; 4: 3; item 1 is in no train
    assert set(result.features.item_ids) == {names[2], names[3]}


def test_steam_recommendations(tmp_path: Path) -> None:
    rows = [f"97578{i},0,0,{moment(d):%Y-%m-%d},true,{d}.3,{u}1055,{k}" for k, (u, i, d) in enumerate(LOG)]
    files = {
        "recommendations.csv": lines(*rows, header="app_id,helpful,funny,date,is_recommended,hours,user_id,review_id"),
        "games.csv": lines("975781,Prince of Persia,true,13.49", header="app_id,title,win,price"),
        "users.csv": lines("11055,359,0", header="user_id,products,reviews"),
        "games_metadata.json": lines(json.dumps({"app_id": 975781, "tags": ["Action"]})),
    }
    result = run(tmp_path, files, "positives.min_value=2")
    assert "app_id is the item, date is the time, hours is the value" in heard(result)
    assert result.dropped == {"below_min_value": 1}
    assert result.kept == BY_DAYS | {"train": 5}
    assert result.features.spec["item_columns"] == {
        "title": ["Prince of Persia"], "win": ["true"], "price": ["13.49"],
    }  # fmt: skip


def test_google_analytics(tmp_path: Path) -> None:
    header = "event_date,event_timestamp,event_name,user_id,user_pseudo_id,item_id,price"
    rows = [
        f"{moment(d):%Y%m%d},{unix(d)}000117,{name},,10{u}.17000000{u}0,SKU{i},9.99"
        for u, i, d in LOG
        for name in ("view_item", *(["add_to_cart"] if u < 3 else []))
    ]
    files = {"ga4.csv": lines(*rows, header=header)}
    result = run(tmp_path / "1", files)
    assert "column 'user_id', row 1 is empty" in result.refused
    result = run(tmp_path / "2", files, "mapping.user=user_pseudo_id", "positives.events=[add_to_cart]")
    assert "event_timestamp is the time, event_name is the event, times are unix microseconds" in heard(result)
    assert result.dropped == {"other_event": 9}
    assert result.kept == {"train": 4, "test": 2, "cold": 0}
    assert result.features.user_ids.tolist() == ["101.1700000010", "102.1700000020"]


def test_google_analytics_with_events_of_no_item(tmp_path: Path) -> None:
    rows = [f"{unix(d)}000117,view_item,1{u}.10,SKU{i}" for u, i, d in LOG]
    rows[1:1] = [f"{unix(2)}000117,page_view,11.10,", f"{unix(2)}000117,page_view,11.10,"]
    files = {"ga4.csv": lines(*rows, header="event_timestamp,event_name,user_pseudo_id,item_id")}
    result = run(tmp_path, files)
    assert "column 'item_id', row 2 is empty; expected an id" in result.refused
    follow(result)
    assert run_stages(tmp_path).kept == BY_DAYS


def test_a_dump_of_a_database(tmp_path: Path) -> None:
    header = '"id","customer_id","product_id","quantity","comment","created_at"'
    rows = [
        f'"{k}","{u}","{i}",{"NULL" if u == 4 else 1},"He said ""no"",\nthen left",{moment(d):%Y-%m-%d %H:%M:%S}+00'
        for k, (u, i, d) in enumerate(LOG)
    ]
    files = {"orders.csv": lines(*rows, header=header), "products.csv": lines("1,\\N", "2,red", header="id,colour")}
    result = run(tmp_path, files)
    assert "customer_id is the user, product_id is the item, created_at is the time, quantity is the value" in (
        heard(result)
    )
    assert "times have zones and are turned into UTC, 1 cells of NULL or \\N are missing values" in heard(result)
    assert result.dropped == {"no_value": 1}
    assert result.kept == BY_DAYS | {"cold": 0}
    assert result.table("prepared/items").to_pydict() == {"item_id": [1, 2], "colour": [None, "red"]}


@pytest.mark.parametrize("name", ["orders.csv", "interactions.csv", "my own 'orders'.csv", "orders.csv.gz"])
@pytest.mark.parametrize("fault", ["no header", "::", "Latin-1", "UTF-16", "NUL", "an empty id"])
def test_the_command_of_a_refusal_works(tmp_path: Path, name: str, fault: str) -> None:
    """Whatever the name of the file is, and also if it is compressed."""
    header, rows = "user_id,item_id,timestamp", [f"{u},ä{i},{unix(d)}" for u, i, d in LOG]
    data = {
        "no header": lines(*rows).encode(),
        "::": lines(*(row.replace(",", "::", 1).replace(",", "::4::") for row in rows)).encode(),
        "Latin-1": lines(*rows, header=header).encode("latin-1"),
        "UTF-16": lines(*rows, header=header).encode("utf-16"),
        "NUL": lines(*rows, header=header).replace("1", "1\0", 1).encode(),
        "an empty id": lines(*rows, f"1,,{unix(1)}", header=header).encode(),
    }[fault]
    result = run(tmp_path, {name: gzip.compress(data) if name.endswith("gz") else data})
    follow(result)
    assert run_stages(tmp_path).kept == BY_DAYS
