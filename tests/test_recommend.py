"""Lists in a file, from Python and over HTTP are those that evaluate judges, for every model and user."""

import ast
import json
import re
import shutil
from pathlib import Path

from retrieval import histories, ids, recommend
from retrieval.errors import Problem
from retrieval.ranking import rank
from retrieval.recommend import load
from retrieval.search import recommendations
from retrieval.serving.schemas import Profile
from retrieval.serving.service import Service
from retrieval.serving.settings import Settings
from retrieval.stage import write_json

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from worlds import GROUPS, ITEMS, MODELS, USERS, add_lightfm, complete, reindex, write_world

EVERY = [*MODELS, "lightfm"]


@pytest.fixture(scope="module", params=["integers", "text"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users with integers as ids dislike some items, too."""
    path, text = tmp_path_factory.mktemp("recommend") / "world", request.param == "text"
    root = add_lightfm(write_world(path, text=text, columns=True))
    if request.param == "integers":
        disliked = sp.random(USERS, ITEMS, 0.05, "csr", np.float32, np.random.default_rng(0))
        sp.save_npz(root / "features" / "disliked.npz", disliked)
        reindex(root)
    return root


def run(world: Path, out: Path, *arguments: object) -> None:
    recommend.main(["--models", str(world / "models"), "--out", str(out), *map(str, arguments)])


def table(world: Path, tmp_path: Path, *arguments: object) -> pd.DataFrame:
    run(world, tmp_path / "lists.parquet", *arguments)
    return pq.read_table(tmp_path / "lists.parquet").to_pandas()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("exclude", [True, False])
def test_file_python_service_and_evaluate_agree_for_every_user(world, tmp_path, name, exclude, monkeypatch):
    monkeypatch.setattr(recommendations, "CHUNK_ROWS", 70)  # parts of 7 users
    file = table(world, tmp_path, "--model", name, *([] if exclude else ["--with-seen"]))
    python = load(world / "models" / name).recommend(exclude_seen=exclude)
    pd.testing.assert_frame_equal(file, python.drop(columns="title"))
    data = histories.load(world / "features")
    service = Service(Settings(models=world / "models", serve=[name], default=name, fallback=name))
    model = complete(world, name)
    excluded = sp.csr_matrix((USERS, len(model.items)), dtype=np.float32)
    if exclude:
        excluded[:, :ITEMS] = data.excluded
    ranking = rank(model.left, model.right, np.arange(USERS), 10, excluded)
    for user, (user_id, rows) in enumerate(file.groupby("user_id", sort=False)):
        assert user_id == data.user_ids[user]
        answer = service.recommend(service.store, name, user_id, 10, exclude, False)
        assert rows["item_id"].tolist() == answer["items"] == model.items[ranking.items[user]].tolist()
        assert rows["score"].tolist() == answer["scores"] == ranking.scores[user].tolist()
        assert rows["rank"].tolist() == list(range(1, 11))
        assert python["title"][rows.index].tolist() == answer["titles"]


def test_all_formats_say_the_same_and_equal_runs_write_equal_bytes(world, tmp_path, monkeypatch):
    expected = table(world, tmp_path)
    for ending in ("parquet", "csv", "jsonl"):
        run(world, tmp_path / f"a.{ending}")
        run(world, tmp_path / f"b.{ending}")
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    monkeypatch.setattr(recommendations, "CHUNK_ROWS", 70)
    for ending in ("csv", "jsonl"):
        run(world, tmp_path / f"b.{ending}")
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().split("\n")[:-1]]
    text = pyarrow.csv.ConvertOptions(column_types={"rank": "int32", "score": "float32"})
    if expected["user_id"].dtype == object:
        text.column_types = {**text.column_types, "user_id": "string", "item_id": "string"}
    parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
    csv = pyarrow.csv.read_csv(tmp_path / "a.csv", convert_options=text, parse_options=parsing).to_pandas()
    for found in (pd.DataFrame(lines).astype({"rank": np.int32, "score": np.float32}), csv):
        pd.testing.assert_frame_equal(found, expected)


def test_the_submission_of_the_contest_has_a_line_per_user_with_a_python_list(world, tmp_path):
    expected = table(world, tmp_path, "--k", 5).groupby("user_id", sort=False)["item_id"].agg(list)
    run(world, tmp_path / "lists.csv", "--k", 5, "--format", "kion")
    found = pd.read_csv(tmp_path / "lists.csv", dtype={"user_id": expected.index.dtype}, keep_default_na=False)
    assert found["user_id"].tolist() == expected.index.tolist()
    assert found["item_id"].map(ast.literal_eval).tolist() == expected.tolist()


def test_users_from_a_file_come_in_its_order_each_once(world, tmp_path):
    everyone = table(world, tmp_path)
    users = ids.load(world / "features" / "user_ids.parquet")
    users = [users[place] for place in (7, 3, 50) if "\n" not in str(users[place])]
    (tmp_path / "users.txt").write_text("\n".join(map(str, [*users, users[0]])) + "\n")
    pd.DataFrame({"item": "x", "user_id": users}).to_csv(tmp_path / "users.csv", index=False)
    pd.DataFrame({"user_id": [*users, users[1]]}).to_parquet(tmp_path / "users.parquet")
    for file in ("users.txt", "users.csv", "users.parquet"):
        found = table(world, tmp_path, "--users", tmp_path / file)
        assert found["user_id"].unique().tolist() == users
        for user in users:
            rows = [frame[frame["user_id"] == user].reset_index(drop=True) for frame in (found, everyone)]
            pd.testing.assert_frame_equal(*rows)


@pytest.mark.parametrize("name", EVERY)
def test_candidates_are_the_best_of_those_that_are_allowed(world, tmp_path, name):
    data, model = histories.load(world / "features"), load(world / "models" / name)
    some, no = data.item_ids[::3].tolist(), data.item_ids[::9].tolist()
    every = model.recommend(k=ITEMS + GROUPS)
    allowed = every[every["item_id"].isin(set(some) - set(no))]
    expected = allowed[allowed.groupby("user_id").cumcount() < 10].drop(columns=["rank", "title"])
    pd.DataFrame({"item_id": some}).to_parquet(tmp_path / "some.parquet")
    pd.DataFrame({"item_id": no}).to_parquet(tmp_path / "no.parquet")
    options = "--model", name, "--only", tmp_path / "some.parquet", "--without", tmp_path / "no.parquet"
    found = table(world, tmp_path, *options)
    pd.testing.assert_frame_equal(found.drop(columns="rank"), expected.reset_index(drop=True))
    python = model.recommend(only=some, without=no)
    pd.testing.assert_frame_equal(found, python.drop(columns="title"))


@pytest.mark.parametrize("name", ["dssm", "ease", "popular"])
def test_filters_in_file_and_python_are_those_of_the_service(world, tmp_path, name):
    where = {"colour": ["red", "blue"], "rare, or not": ["rare, very"]}
    texts = "colour=red,blue", "rare, or not=rare, very"
    found = table(world, tmp_path, "--model", name, "--where", *texts)
    python = load(world / "models" / name).recommend(where=where)
    pd.testing.assert_frame_equal(found, python.drop(columns="title"))
    service = Service(Settings(models=world / "models", serve=[name], default=name, fallback=name))
    for user_id, rows in found.groupby("user_id", sort=False):
        answer = service.recommend_to(service.store, name, Profile(user_id=user_id, where=where))
        assert rows["item_id"].tolist() == answer["items"]
        assert rows["score"].tolist() == answer["scores"]


def test_unknown_users_get_the_list_of_the_fallback_model(world, tmp_path):
    known = ids.load(world / "features" / "user_ids.parquet")[4]
    found = table(world, tmp_path, "--users", "-99", known, "--fallback", "popular", "--k", 3)
    assert found["user_id"].astype(str).unique().tolist() == ["-99", str(known)]
    popular = load(world / "models" / "popular").recommend([known], k=3, exclude_seen=False)
    assert found["item_id"][:3].tolist() == popular["item_id"].tolist()
    own = load(world / "models" / "dssm").recommend([known], k=3)
    assert found["item_id"][3:].tolist() == own["item_id"].tolist()


def test_the_last_line_counts_rows_and_users_and_says_which_model_made_them(world, tmp_path, capsys):
    known, out = ids.load(world / "features" / "user_ids.parquet")[4], tmp_path / "lists.csv"
    for users, k, expected in (
        ([known], 1, "1 row for 1 user, by dssm"),
        (["-99"], 3, "3 rows for 1 user, by popular"),
        (["-99", known, "-98"], 1, "3 rows for 3 users, by dssm, 2 of them by popular"),
    ):
        run(world, out, "--users", *users, "--fallback", "popular", "--k", k)
        assert capsys.readouterr().out == f"{out}: {expected}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "dsm"], r"models/dsm: no such model; expected one of .*; did you mean 'dssm'\?"),
        (["--k", "0"], "--k: 0 is not valid: expected 1 or more"),
        (["--users", "zz", "-98", "5"], r"--users: [23] of 3 ids are not in the data: 'zz', '-98'.*; --fallback pop"),
        (["--users", "none.csv"], "--users: none.csv: no such file"),
        (["--users", "-98", "--fallback", "dssm"], "--fallback: dssm has no list for unknown users; expected a"),
        (["--only", "zz"], "only, without, where: no item is left to recommend"),
        (["--where", "color=red"], r"where: unknown column 'color'; expected one of .*; did you mean 'colour'\?"),
        (["--where", "colour=red,bleu"], r"where.colour: unknown value 'bleu'; .*; did you mean 'blue'\?"),
        (["--where", "red"], "--where: 'red' is not valid: expected COLUMN=VALUE"),
        (["--out", "lists.xlsx"], r"--out: lists.xlsx: unknown ending; expected one of parquet, csv, jsonl; "),
        (["--out", "nowhere/lists.csv"], "--out: nowhere/lists.csv: nowhere is not a folder"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_leave_the_old_file(world, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("lists.csv").write_text("old")
    with pytest.raises(Problem, match=message) as error:
        recommend.main(["--models", str(world / "models"), "--out", "lists.csv", *arguments])
    assert "\n" not in str(error.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"lists.csv": "old"}


def test_files_of_ids_are_refused_in_one_line(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("headless.csv").write_text("5\n15\n")
    Path("other.csv").write_text("cook_id,name\n5,x\n")
    Path("blank.csv").write_text("\nuser_id\n5\n")
    Path("nothing.csv").touch()
    Path("nothing.parquet").touch()
    pd.DataFrame({"cook_id": [5]}).to_parquet("other.parquet")
    Path("empty.txt").write_text("\n\n")
    for file, message in (
        ("headless.csv", "--users: headless.csv: no column user_id; its columns: 5; ids alone go into a .txt file"),
        ("other.csv", "--users: other.csv: no column user_id; its columns: cook_id, name; ids alone go"),
        ("other.parquet", "--users: other.parquet: no column user_id; its columns: cook_id; ids alone go"),
        ("blank.csv", "--users: blank.csv: no column user_id; its columns: none; ids alone go"),
        ("nothing.csv", "--users: nothing.csv: is empty; expected a column user_id$"),
        ("nothing.parquet", "--users: nothing.parquet: is empty; expected a column user_id$"),
        ("empty.txt", "--users: empty.txt: has no ids"),
    ):
        with pytest.raises(Problem, match=message):
            run(world, tmp_path / "lists.csv", "--users", file)


def test_items_that_the_data_do_not_have_are_passed_over_and_said(world, tmp_path, capsys):
    item = ids.load(world / "features" / "item_ids.parquet")[3]
    found = table(world, tmp_path, "--only", "zz", item, "--with-seen")
    assert set(found["item_id"]) == {item}
    assert "recommend: --only: 1 of 2 ids are not in the data: 'zz'; passed over" in capsys.readouterr().err


def test_an_interrupted_run_leaves_the_old_file(world, tmp_path, monkeypatch):
    (tmp_path / "lists.csv").write_text("old")
    monkeypatch.setattr(recommend, "flatten", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(world, tmp_path / "lists.csv")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", ["dssm", "ease", "ials", "itemknn", "lightfm", "userknn"])
def test_similar_items_are_those_of_the_service(world, name):
    service = Service(Settings(models=world / "models", serve=[name], default=name, fallback=name))
    model, some = load(world / "models" / name), service.store.catalogue.items[[2, 9]].tolist()
    found = model.similar(some, k=4)
    for item in some:
        answer, rows = service.similar(service.store, name, item, 4), found[found["item_id"] == item]
        assert rows["similar_id"].tolist() == answer["items"]
        assert rows["score"].tolist() == answer["scores"]
        assert rows["rank"].tolist() == [1, 2, 3, 4]
        assert rows["title"].tolist() == answer["titles"]


def test_no_users_and_no_items_give_empty_tables(world):
    model = load(world / "models" / "dssm")
    assert list(model.recommend([]).columns) == ["user_id", "item_id", "rank", "score", "title"]
    assert len(model.recommend([])) == len(model.similar([])) == 0


def test_python_refuses_what_it_cannot_do(world):
    model = load(world / "models" / "popular")
    for call, message in (
        (lambda: model.similar([1]), "popular has no item vectors to compare"),
        (lambda: model.recommend(["zz"]), "users: 1 of 1 ids are not in the data: 'zz'"),
        (lambda: model.recommend("zz"), "users: 'zz' is not valid: expected a list of ids"),
        (lambda: model.recommend(15), "users: 15 is not valid: expected a list of ids"),
        (lambda: model.recommend(k=0), "k: 0 is not valid"),
        (lambda: load(world / "models" / "x"), "models/x: no such model"),
    ):
        with pytest.raises(Problem, match=message):
            call()


@pytest.mark.parametrize("k", [0, -1, 2.5, 2.0, "3", None, True, np.float64(3), np.nan])
def test_k_is_a_whole_number(world, k):
    model = load(world / "models" / "dssm")
    assert len(model.recommend(model.catalogue.users[:1], k=np.int32(3))) == 3
    for call in (model.recommend, model.similar):
        with pytest.raises(Problem, match=f"^k: {re.escape(repr(k))} is not valid: expected a whole number, 1 or more"):
            call([], k=k)


def test_a_model_of_other_data_is_refused(world, tmp_path):
    shutil.copytree(world, tmp_path / "world")
    card = tmp_path / "world" / "models" / "dssm" / "card.json"
    write_json(card, json.loads(card.read_text()) | {"files": {"left.npy": "0"}})
    with pytest.raises(Problem, match=r"card\.json: does not match its own hash"):
        load(tmp_path / "world" / "models" / "dssm")
