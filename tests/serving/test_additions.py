"""Items that clients add: recommended at once by their features, by every worker, until other models come."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

from retrieval import histories
from retrieval.errors import Problem, writing
from retrieval.search.catalogue import load
from retrieval.serving import additions
from retrieval.serving.additions import Additions, table_of
from retrieval.serving.app import create
from retrieval.serving.reading import cells_of
from retrieval.serving.settings import Settings
from retrieval.stage import read_table

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from worlds import COLUMNS, ITEMS, USERS, add_lightfm, reindex, train_models, write_world

TOKEN = {"authorization": "Bearer secret"}
NEW = {"item_id": 5000, "columns": {"group": "a", "title": "A new one", "release_year": 2021, "genres": ["War"]}}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose models have learned that users watch items of their own group: user u those of group u % 3."""
    root = write_world(tmp_path_factory.mktemp("additions") / "world")
    train_models(root, epochs=100, item="features")
    return add_lightfm(root, epochs=30)


@pytest.fixture
def client(planted):
    with TestClient(create(Settings(models=planted / "models", token="secret"))) as client:
        yield client


def add(client, *items, headers=TOKEN):
    return client.post("/items", json={"items": list(items)}, headers=headers)


def group(item_id):
    return (item_id - 3) // 7 % 3


def share_of_groups(client, model, item_id):
    """The share of the users of each group whose list has the item; a user has seen 3 to 19 of a group's 50."""
    found = np.zeros(3)
    for user in range(USERS):
        found[user % 3] += item_id in client.get(f"/reco/{model}/{10 * user + 5}?k=40").json()["items"]
    return found / (USERS / 3)


@pytest.mark.parametrize("model", ["dssm", "lightfm"])
def test_a_new_item_is_recommended_at_once_to_those_who_like_its_features(client, model):
    assert add(client, NEW).status_code == 200
    own, *others = share_of_groups(client, model, 5000)
    assert own >= 0.8
    assert max(others) < 0.2


def test_after_a_reload_that_has_trained_on_it_the_item_is_one_of_the_data(planted, tmp_path):
    root = Path(shutil.copytree(planted, tmp_path / "world"))
    with TestClient(create(Settings(models=root / "models", token="secret"))) as client:
        add(client, NEW)
        data = histories.load(root / "features")
        table = read_table(root / "prepared" / "items.parquet")
        row = pa.table(
            {"item_id": [5000], "title": ["A new one"], "release_year": ["2021"], "genres": ["War"], "group": ["a"]}
        )
        pq.write_table(pa.concat_tables([table, row]), root / "prepared" / "items.parquet")
        write_watched(root, data)
        shutil.rmtree(root / "models" / "lightfm")
        train_models(root, epochs=100, item="features")
        assert client.post("/reload", headers=TOKEN).json()["changed"]
        assert client.get("/items?query=a new one").json()[0] == {
            "item_id": 5000, "title": "A new one", "year": "2021", "genres": ["War"], "new": False, "watched": 10,
        }  # fmt: skip
        lists = [client.get(f"/reco/dssm/{10 * user + 5}?k=100&exclude_seen=false").json() for user in range(USERS)]
        place = np.array([[*each["items"], 5000].index(5000) for each in lists]).reshape(-1, 3).mean(0)
        assert place[0] < min(place[1:])
        answer = add(client, NEW).json()
        assert (answer["added"], answer["in_data"]) == ([], [5000])


def write_watched(root, data):
    """Half of group a have watched item 5000, the last of their histories."""
    import scipy.sparse as sp

    h, parts = data.histories, []
    for user in range(USERS):
        span = slice(h.indptr[user], h.indptr[user + 1])
        more = user % 6 == 0
        parts.append([np.append(h.item[span], [ITEMS] * more), np.append(h.time[span], [h.time.max()] * more)])
    item, time = (np.concatenate(each) for each in zip(*parts, strict=True))
    indptr = np.append(0, np.cumsum([len(each) for each, _ in parts]))
    rows = histories.Histories(indptr, item.astype(np.int32), time.astype(np.int64), np.ones(len(item), np.float32))
    items = sp.csr_matrix(sp.vstack([data.items, data.items[:1]]))
    ids = np.append(data.item_ids, 5000)
    histories.save(root / "features", histories.Features(rows, data.users, items, data.user_ids, ids, data.spec))


def test_answers_tell_new_items_from_those_of_train(client):
    assert client.get("/items?query=a new one").json() == []
    answer = add(client, NEW).json()
    assert (answer["added"], answer["features"], answer["in_data"]) == ([5000], [1], [])
    (found,) = client.get("/items?query=a new one").json()
    assert (found["item_id"], found["year"], found["genres"], found["new"], found["watched"]) == (
        5000, "2021", ["War"], True, 0,
    )  # fmt: skip
    answer = client.get("/reco/dssm/5?k=100&exclude_seen=false").json()
    assert [item for item, new in zip(answer["items"], answer["new"], strict=True) if new and item >= 5000] == [5000]
    answer = client.get("/similar/dssm/5000?k=20").json()
    assert {group(item) for item in answer["items"]} == {0}
    assert 5000 in client.get("/similar/dssm/3?k=100").json()["items"]
    refused = client.get("/similar/ease/5000")
    assert (refused.status_code, "models that know new items: dssm, ials, lightfm" in refused.text) == (422, True)
    assert 5000 not in client.get("/reco/ease/5?k=100").json()["items"]
    infos = {each["name"]: (each["new_items"], each["items"]) for each in client.get("/models").json()["models"]}
    assert (infos["dssm"], infos["ease"]) == ((True, ITEMS + 4), (False, ITEMS))


def test_filters_and_profiles_know_new_items(client):
    add(client, NEW, {"item_id": 5001, "columns": {"group": "b"}})
    body = {"user_id": 5, "only": [5000, 5001, 3, 10], "exclude_seen": False}
    assert set(client.post("/reco/dssm", json=body).json()["items"]) == {5000, 5001, 3, 10}
    assert set(client.post("/reco/ease", json=body).json()["items"]) == {3, 10}
    found = client.post("/reco/dssm", json=body | {"where": {"group": "a"}}).json()
    assert set(found["items"]) == {5000, 3}
    profile = {"history": [{"item_id": 3}, {"item_id": 5000}], "k": 100}
    with_new, without = (
        client.post("/reco/dssm", json={"k": 100, "history": profile["history"][:size]}).json() for size in (2, 1)
    )
    assert 5000 not in with_new["items"]
    assert [item for item in without["items"] if item != 5000] == with_new["items"][: len(without["items"]) - 1]


def test_adding_twice_is_adding_once_and_the_last_columns_count(client):
    first = add(client, NEW).json()
    before = client.get("/reco/dssm/5?k=45").json()
    assert add(client, NEW).json() == first
    assert client.get("/reco/dssm/5?k=45").json() == before
    add(client, NEW | {"columns": {"group": "b"}})
    assert share_of_groups(client, "dssm", 5000)[1] >= 0.8


def test_items_of_the_data_stay_as_they_are(client):
    before = client.get("/reco/dssm/5?k=20").json()
    answer = add(client, {"item_id": 3, "columns": {"group": "b", "title": "Other"}}).json()
    assert (answer["added"], answer["in_data"]) == ([], [3])
    assert client.get("/reco/dssm/5?k=20").json() == before


def test_a_reload_of_other_models_drops_what_was_added(planted, tmp_path):
    root = Path(shutil.copytree(planted, tmp_path / "world"))
    with TestClient(create(Settings(models=root / "models", token="secret"))) as client:
        add(client, NEW)
        assert not client.post("/reload", headers=TOKEN).json()["changed"]
        assert client.get("/items?query=a new one").json()
        train_models(root, seed=1)  # LightFM stays
        assert client.post("/reload", headers=TOKEN).json()["changed"]
        assert client.get("/items?query=a new one").json() == []


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (
            [NEW | {"columns": {"colour": "red"}}],
            "unknown column 'colour'; expected one of genres, group, release_year, title",
        ),
        ([NEW, NEW], "items: an id appears twice"),
        ([NEW | {"item_id": "x"}], "item_id: 'x' is not an integer, and the ids of the data are"),
        ([NEW | {"columns": {"group": {"a": 1}}}], "items.0.columns.group"),
        ([NEW | {"columns": {"title": "x" * 10_001}}], "at most 10,000"),
        ([{"item_id": n} for n in range(1001)], "at most 1000"),
        ([], "at least 1"),
        ([NEW | {"price": 3}], "items.0.price: Extra inputs"),
    ],
)
def test_bad_items_are_refused_with_the_reason(client, items, reason):
    answer = add(client, *items)
    assert (answer.status_code, reason in answer.json()["detail"]) == (422, True), answer.text


def test_of_columns_those_of_the_data_are_named(client):
    catalogue = client.app.state.service.store.catalogue
    bare = replace(catalogue, titles=[None], years=[None], genres=[[]])
    for data, reason in (
        (bare, "expected one of group"),
        (replace(bare, years=[None, "1994"]), "expected one of group, release_year"),
        (replace(bare, spec=bare.spec | {"item_columns": {}}), "expected none"),
    ):
        with pytest.raises(HTTPException) as refused:
            cells_of({"colour": "red"}, data)
        assert refused.value.detail == f"columns: unknown column 'colour'; {reason}"
        assert cells_of({"title": "A new one", "date": "2021-01-01"}, data)


def test_only_the_token_adds_items_and_there_is_a_limit(client, monkeypatch):
    for headers in ({}, {"authorization": "Bearer wrong"}):
        assert add(client, NEW, headers=headers).status_code == 401
    monkeypatch.setattr(additions, "MAX_ADDED", 2)
    assert add(client, {"item_id": 4}, {"item_id": 5}).status_code == 200
    refused = add(client, {"item_id": 6})
    assert (refused.status_code, "items: 3 in all, expected at most 2 until a reload" in refused.text) == (422, True)
    assert add(client, {"item_id": 4}).status_code == 200


@pytest.mark.parametrize("backend", ["hnsw", "ivf"])
def test_indexes_of_train_and_new_items_are_merged(planted, client, backend):
    with TestClient(create(Settings(models=planted / "models", token="secret", backend=backend))) as near:
        items = [{"item_id": 5000 + n, "columns": {"group": "abc"[n % 3]}} for n in range(30)]
        add(client, *items)
        add(near, *items)
        for user in range(0, USERS, 7):
            url = f"/reco/dssm/{10 * user + 5}?k=60"
            expected, found = client.get(url).json(), near.get(url).json()
            new = [[i for i, new in zip(each["items"], each["new"], strict=True) if new] for each in (expected, found)]
            assert new[0] == new[1] != []
            assert found["scores"] == sorted(found["scores"], reverse=True)
            assert len(set(found["items"]) & set(expected["items"])) >= 57


def test_workers_share_what_is_added_to_one_of_them(planted, tmp_path):
    some = Settings(models=planted / "models", token="secret")
    with TestClient(create(some, tmp_path)) as one, TestClient(create(some, tmp_path)) as other:
        for n in range(6):
            add((one, other)[n % 2], NEW | {"item_id": 5000 + n})
        for client in (one, other):
            answer = client.get("/reco/dssm/5?k=100&exclude_seen=false").json()
            new = {item for item, new in zip(answer["items"], answer["new"], strict=True) if new}
            assert new >= set(range(5000, 5006))


def test_where_items_cannot_be_stored_the_answer_says_so_and_nothing_changes(planted, tmp_path, monkeypatch, caplog):
    """As on a full disk, or without the folder that the workers share; the reason is in the log only."""
    with TestClient(create(Settings(models=planted / "models", token="secret", workers=2), tmp_path)) as client:

        def full(path, value):
            with writing(path):
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(additions, "write_json", full)
        for _ in range(2):
            answer = add(client, NEW)
            assert answer.status_code == 503
            assert answer.json() == {"detail": "the items cannot be stored, see the log"}
            if tmp_path.exists():
                tmp_path.rename(tmp_path.with_name("gone"))
        assert client.get("/items", params={"query": "A new one"}).json() == []


def test_versions_do_not_mix(tmp_path):
    """A worker that has not reloaded yet adds to its own version."""
    for folder in (None, tmp_path):
        store = Additions(folder)
        assert store.stamp("a") is None
        store.add("a", {1: {"x": "y"}})
        first = store.stamp("a")
        store.add("a", {"1": {}, 2: {"x": [1, None]}})
        assert store.stamp("a") != first
        assert store.read("a") == {1: {"x": "y"}, "1": {}, 2: {"x": [1, None]}}
        store.add("b", {3: {}})
        assert store.read("b") == {3: {}}
    assert Additions(tmp_path).read("a") == {1: {"x": "y"}, "1": {}, 2: {"x": [1, None]}}


def test_cells_are_texts_as_in_a_file(planted):
    catalogue = load(planted / "models" / "catalogue")
    rows = {3: {"group": "b"}, 1: {"year": 2021.0, "on": True, "tags": ["x", 2]}, 2: {"year": 1.5, "tags": "y"}}
    assert table_of(rows, catalogue).to_pydict() == {
        "item_id": [1, 2], "year": ["2021", "1.5"], "on": ["true", None], "tags": [["x", "2"], ["y"]],
    }  # fmt: skip


values = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5) | st.sampled_from("abc")
cells = st.dictionaries(
    st.sampled_from(["group", "title", "release_year", "genres", *COLUMNS, "decade", "x"]),
    values | st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=2), values, max_size=2),
    max_size=4,
)
some_items = st.fixed_dictionaries(
    {"item_id": st.integers(-5, 2**65) | st.integers(5000, 5020) | values}, optional={"columns": cells | values}
)


def check_items(client: TestClient, count: int) -> None:
    """Add random items `count` times, and ask for a list after each: none causes an internal error."""

    @settings(max_examples=count)
    @given(st.lists(some_items | values, max_size=4) | values, st.sampled_from(["dssm", "ease", "popular"]))
    def check(items, name):
        body = json.dumps({"items": items}).encode("utf-8", "surrogatepass")
        answer = client.post("/items", content=body, headers={"content-type": "application/json"} | TOKEN)
        assert answer.status_code in (200, 422), answer.text
        answer = client.get(f"/reco/{name}/15?k=100")
        assert len(answer.json()["items"]) == 100

    check()


@pytest.mark.parametrize("name", ["client", "text_client"])
def test_no_items_cause_an_internal_error(request, world, name, monkeypatch):
    monkeypatch.setattr(additions, "MAX_ADDED", 50)
    with TestClient(create(Settings(models=world / "models", token="secret", body=20_000))) as client:
        check_items(client, 200)


@pytest.mark.slow
def test_ten_thousand_times_no_items_cause_an_internal_error(world):
    with TestClient(create(Settings(models=world / "models", token="secret", body=20_000))) as client:
        check_items(client, 10_000)


def test_new_items_of_the_data_are_recommended_from_the_start(planted, tmp_path):
    """items.csv has a row of an item that nobody has watched."""
    root = Path(shutil.copytree(planted, tmp_path / "world"))
    row = pa.table({"item_id": [4000], "title": ["Unseen"], "group": ["b"]})
    pq.write_table(row, root / "prepared" / "new_items.parquet")
    reindex(root)
    with TestClient(create(Settings(models=root / "models", token="secret"))) as client:
        assert share_of_groups(client, "dssm", 4000)[1] >= 0.8
        assert client.get("/items?query=unseen").json()[0]["new"]
        assert add(client, {"item_id": 4000}).json()["in_data"] == [4000]
        add(client, NEW)
        assert share_of_groups(client, "dssm", 4000)[1] >= 0.8
        assert share_of_groups(client, "dssm", 5000)[0] >= 0.8
    catalogue = load(root / "models" / "catalogue")
    assert catalogue.item_rows([3, 4000, 4, "4000"]).tolist() == [0, ITEMS, -1, ITEMS]


def test_more_than_can_be_added_is_a_problem(tmp_path):
    with pytest.raises(Problem, match=r"10,001 in all, expected at most 10,000"):
        Additions(tmp_path).add("a", {n: {} for n in range(10_001)})
