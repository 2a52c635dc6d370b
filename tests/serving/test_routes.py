"""The routes: answers are those of the models; bad questions get a reason."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from retrieval import histories
from retrieval.ranking import rank
from retrieval.search import filters
from retrieval.search.catalogue import load
from retrieval.serving.app import create
from retrieval.serving.settings import Settings
from retrieval.stage import sha256

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from worlds import COLUMNS, ITEMS, MODELS, ODD, USERS, complete, odd_ids, reindex


def test_health_and_models(client):
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    models = client.get("/models").json()
    assert (models["default"], models["fallback"]) == ("dssm", "popular")
    assert models["demographics"] == {"age": ["old", "young"], "sex": ["F", "M"]}
    dssm = {model["name"]: model for model in models["models"]}["dssm"]
    assert dssm["metrics"] == {"map@10": 0.25}
    assert (dssm["users"], dssm["items"], dssm["profiles"], dssm["similar"]) == (60, 153, True, True)
    assert dssm["dimensions"] == 8 + 1 + 128, "of the towers, the bias and co-occurrence"


@pytest.mark.parametrize("name", MODELS)
def test_recommendations_are_the_ranking_of_evaluate(client, world, name):
    data, model = histories.load(world / "features"), complete(world, name)
    expected = rank(model.left, model.right, np.arange(60), 7, data.seen)
    for user, user_id in enumerate(data.user_ids):
        answer = client.get(f"/reco/{name}/{user_id}", params={"k": 7}).json()
        assert answer["items"] == model.items[expected.items[user]].tolist()
        np.testing.assert_allclose(answer["scores"], expected.scores[user], rtol=1e-5, atol=1e-6)
        assert answer["personal"] == (not name.startswith("popular"))
        assert answer["seen"] == [False] * 7


def test_with_exclude_seen_false_seen_items_come_back_marked(client):
    answer = client.get("/reco/popular/15", params={"k": 100, "exclude_seen": False}).json()
    history = {visit["item_id"] for visit in client.get("/users/15/history", params={"k": 100}).json()["history"]}
    assert history
    seen = {item for item, seen in zip(answer["items"], answer["seen"], strict=True) if seen}
    assert seen == history & set(answer["items"])
    assert seen


def test_an_unknown_user_is_refused_or_gets_the_fallback_model(client):
    refusal = client.get("/reco/dssm/999")
    assert refusal.status_code == 404
    assert "fallback=true" in refusal.json()["detail"]
    answer = client.get("/reco/dssm/999", params={"fallback": True, "k": 3}).json()
    assert (answer["model"], answer["personal"], answer["user_id"], len(answer["items"])) == ("popular", False, 999, 3)
    assert answer["scores"] == sorted(answer["scores"], reverse=True)
    assert client.get("/reco/dssm/15", params={"fallback": True}).json()["personal"]


@pytest.mark.parametrize("name", ["dssm", "ease", "itemknn"])
def test_a_profile_like_a_user_gets_what_the_user_gets(client, name):
    for user_id in (5, 15, 25, 595):
        user = client.get(f"/users/{user_id}/history", params={"k": 100}).json()
        watched = [{"item_id": visit["item_id"], "date": visit["date"]} for visit in reversed(user["history"])]
        shuffled = watched[1::2] + watched[::2]  # the dates give the order
        profile = {"history": shuffled, "demographics": user["demographics"], "k": 20}
        answer, expected = client.post(f"/reco/{name}", json=profile).json(), client.get(f"/reco/{name}/{user_id}?k=20")
        assert answer["items"] == expected.json()["items"]
        assert answer["user_id"] is None


def test_dates_demographics_and_even_a_history_are_optional_in_a_profile(client):
    empty = client.post("/reco/dssm", json={}).json()
    assert len(empty["items"]) == 10
    assert all(np.isfinite(empty["scores"]))
    assert not empty["personal"]
    one, other = ([{"item_id": 3 + 7 * item} for item in order] for order in ((1, 4, 7), (7, 4, 1)))
    answers = [client.post("/reco/dssm", json={"history": history}).json() for history in (one, other)]
    assert answers[0]["scores"] != answers[1]["scores"]  # the order counts
    assert answers[0]["personal"]


def test_a_column_of_demographics_may_have_several_values(client, copy):
    ages = "old", ["old"], ["old", "old"], ["old", "young"], []
    answers = [client.post("/reco/dssm", json={"demographics": {"age": age}}).json() for age in ages]
    assert answers[0] == answers[1] == answers[2]
    assert answers[3]["scores"] not in (answers[0]["scores"], answers[4]["scores"])
    data = histories.load(copy / "features")
    users = data.users.tolil()
    users[1, :3] = 1, 1, 0
    histories.save(copy / "features", replace(data, users=users.tocsr()))
    reindex(copy)
    with TestClient(create(Settings(models=copy / "models"))) as client:
        about = client.get("/users/15/history").json()["demographics"]
    assert about["age"] == ["old", "young"]
    assert isinstance(about.get("sex", ""), str)


def test_of_an_item_that_appears_twice_the_last_time_counts(client):
    twice, once = [10, 31, 10], [31, 10]
    bodies = [{"history": [{"item_id": item} for item in items]} for items in (twice, once)]
    answers = [client.post("/reco/ease", json=body).json() for body in bodies]
    assert answers[0] == answers[1]
    assert not {10, 31} & set(answers[0]["items"])


def test_similar_items_and_searches(client):
    answer = client.get("/similar/dssm/10?k=4").json()
    assert (answer["item_id"], len(answer["items"])) == (10, 4)
    assert 10 not in answer["items"]
    items = client.get("/items", params={"query": "film 14", "k": 3}).json()
    assert len(items) == 3
    assert all("Film 14" in item["title"] for item in items)
    assert client.get("/users?query=59&k=5").json() == [595]
    assert len(client.get("/users").json()) == 10


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/reco/dsm/15", 404, "did you mean 'dssm'"),
        ("/reco/dssm/16", 404, "user 16 is not in the data"),
        ("/reco/dssm/99999999999999999999", 404, "user 99999999999999999999 is not in the data"),
        ("/reco/dssm/015", 404, "user 015 is not in the data"),
        ("/reco/dssm/%2015", 404, "user  15 is not in the data"),
        ("/reco/dssm/15/", 404, "user 15/ is not in the data"),
        ("/reco/dssm/15%0A", 404, "user 15\n is not in the data"),
        ("/reco/dssm/" + "9" * 5000, 422, "of 1 to 200 characters"),
        ("/reco/dssm/", 422, "of 1 to 200 characters"),
        ("/reco/dssm/NaN", 404, "user NaN is not in the data"),
        ("/reco/dssm/15.0", 404, "user 15.0 is not in the data"),
        ("/reco/dssm/15?k=0", 422, "greater than or equal to 1"),
        ("/reco/dssm/15?k=101", 422, "less than or equal to 100"),
        ("/reco/dssm/15?k=inf", 422, "integer"),
        ("/reco/dssm/15?exclude_seen=perhaps", 422, "boolean"),
        ("/similar/dssm/4", 404, "item 4 is not in the catalogue"),
        ("/similar/popular/10", 422, "no item vectors to compare"),
        ("/users/16/history", 404, "user 16 is not in the data"),
        ("/users?query=" + "1" * 201, 422, "at most 200"),
        ("/items?query=" + "a" * 201, 422, "at most 200"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_bad_questions_get_a_reason(client, path, status, reason):
    answer = client.get(path)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "body", "status", "reason"),
    [
        ("dssm", '{"history": [{"item_id": 4}]}', 422, "history: not in the catalogue: 4"),
        ("dssm", '{"history": [{"item_id": 1e400}]}', 422, "expected an id: a 64-bit integer"),
        ("dssm", '{"history": [{"item_id": 10.0}]}', 422, "expected an id: a 64-bit integer"),
        ("dssm", '{"history": [{"item_id": true}]}', 422, "expected an id: a 64-bit integer"),
        ("dssm", '{"history": [{"item_id": "010"}]}', 422, "history: not in the catalogue: 010"),
        ("dssm", '{"history": [{"item_id": 99999999999999999999}]}', 422, "expected an id: a 64-bit integer"),
        ("dssm", '{"history": [{"item_id": 10, "date": NaN}]}', 422, "valid datetime"),
        (
            "dssm",
            '{"history": [{"item_id": 10, "date": "1997-01-01"}, {"item_id": 31}]}',
            422,
            "expected a date for every item or for none",
        ),
        ("dssm", '{"demographics": {"age": NaN}}', 422, "expected a text"),
        ("dssm", '{"demographics": {"age": "\\ud800"}}', 422, "expected a text"),
        ("dssm", '{"demographics": {"age": "yung"}}', 422, "did you mean 'young'"),
        ("dssm", '{"demographics": {"age": ["old", "yung"]}}', 422, "did you mean 'young'"),
        ("dssm", '{"demographics": {"age": [["old"]]}}', 422, "or a list of at most 32 such texts"),
        ("dssm", '{"demographics": {"ag": "young"}}', 422, "did you mean 'age'"),
        ("dssm", '{"k": NaN}', 422, "finite"),
        ("dssm", '{"k": 1000}', 422, "less than or equal to 100"),
        ("dssm", '{"kk": 1}', 422, "Extra inputs"),
        ("dssm", '{"history": [' + ",".join(['{"item_id": 10}'] * 1001) + "]}", 422, "at most 1000"),
        ("dssm", '{"history": ', 422, "JSON decode error"),
        ("dssm", "[" * 19_000, 422, "the body is not valid JSON"),
        ("dssm", "\xff", 422, "the body is not valid JSON"),
        ("userknn", "{}", 422, "userknn cannot score new users; models that accept profiles: dssm, ease, ials"),
        ("nothing", "{}", 404, "unknown model"),
        ("dssm", '{"k": ' + " " * 30_000 + "1}", 413, "larger than 20000 bytes"),
    ],
)
def test_bad_profiles_get_a_reason(client, name, body, status, reason):
    answer = client.post(f"/reco/{name}", content=body.encode("latin1"), headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/reco/dssm", {"demographics": {"age": 33}}, "body.demographics.age: expected a text of at most 200 char"),
        ("/reco/dssm", {"where": {"colour": 1.5}}, "body.where.colour: expected a text of at most 200 characters or a"),
        ("/reco/dssm", {"user_id": True}, "body.user_id: expected an id: a 64-bit integer, or text of 1 to 200"),
        ("/reco/dssm", {"history": [{"item_id": ""}]}, "body.history.0.item_id: expected an id: a 64-bit integer"),
        ("/items", {"items": [{"item_id": 1, "columns": {"a": {}}}]}, "body.items.0.columns.a: expected a text of at"),
    ],
)
def test_a_value_of_no_type_that_is_allowed_is_one_reason(client, path, body, reason):
    detail = client.post(path, json=body).json()["detail"]
    assert detail.startswith(reason)
    assert detail.count("body.") == 1


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1997-01-01", 0, -1])
def test_dates_at_the_ends_of_time_are_valid(client, date):
    body = {"history": [{"item_id": 10, "date": date}, {"item_id": 31, "date": "1997-01-01T00:00:00"}]}
    assert client.post("/reco/dssm", json=body).status_code == 200


def test_a_history_has_the_most_recent_items_first(client, world):
    data = histories.load(world / "features")
    span = slice(data.histories.indptr[1], data.histories.indptr[2])
    user = client.get("/users/15/history", params={"k": 2}).json()
    assert user["watched"] == span.stop - span.start
    items = data.item_ids[data.histories.item[span]][::-1]
    assert [visit["item_id"] for visit in user["history"]] == items[:2].tolist()
    times = [datetime.fromisoformat(visit["date"]).timestamp() for visit in user["history"]]
    assert times == data.histories.time[span][::-1][:2].tolist()
    assert set(user["demographics"]) == {"age", "sex"}


def test_the_root_is_the_page(client):
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "<title>Two-tower retrieval</title>" in answer.text


TEXT_USERS, TEXT_ITEMS = odd_ids(USERS).tolist(), [*odd_ids(ITEMS).tolist(), "new/a", "new/b", "new/c"]


def path(*parts: object) -> str:
    """A path of parts that may hold any character."""
    return "".join("/" + quote(str(part), safe="") for part in parts)


@pytest.mark.parametrize("user", range(USERS))
def test_text_ids_get_what_integers_get(client, text_client, user):
    """Both worlds are the same but for the ids."""
    number, text = 10 * user + 5, TEXT_USERS[user]
    for get in (lambda id: path("reco", "dssm", id), lambda id: path("users", id, "history")):
        expected, answer = client.get(get(number)).json(), text_client.get(get(text)).json()
        assert (expected.pop("user_id"), answer.pop("user_id")) == (number, text)
        for visit, other in zip(expected.pop("history", []), answer.pop("history", []), strict=True):
            assert visit.pop("item_id") == 3 + 7 * TEXT_ITEMS.index(other.pop("item_id"))
            assert visit == other
        items = [3 + 7 * TEXT_ITEMS.index(item) for item in answer.pop("items", [])]
        assert expected.pop("items", []) == items
        assert expected == answer


@pytest.mark.parametrize("item", [TEXT_ITEMS.index(text) for text in ODD])
def test_each_odd_item_has_similar_ones_and_can_be_in_a_profile(client, text_client, item):
    number, text = 3 + 7 * item, TEXT_ITEMS[item]
    answer = text_client.get(path("similar", "dssm", text)).json()
    assert answer["item_id"] == text
    expected = client.get(path("similar", "dssm", number)).json()
    assert [3 + 7 * TEXT_ITEMS.index(item) for item in answer["items"]] == expected["items"]
    answers = [
        one.post("/reco/ease", json={"history": [{"item_id": id}]}).json()
        for one, id in ((client, number), (text_client, text))
    ]
    assert answers[0]["scores"] == answers[1]["scores"]


def test_a_number_is_its_text_and_a_text_its_number(client, text_client):
    """Among texts 7 is "7", among integers "10" is 10."""
    bodies = [{"history": [{"item_id": id}]} for id in (7, "7", "007")]
    number, text, other = (text_client.post("/reco/ease", json=body).json() for body in bodies)
    assert number == text != other
    number, text = (client.post("/reco/ease", json={"history": [{"item_id": id}]}).json() for id in (10, "10"))
    assert number == text
    assert client.get("/reco/dssm/15").json()["user_id"] == 15


@settings(max_examples=300)
@given(st.text(max_size=12) | st.text(alphabet="/%7.0\n +~?#&=;:\\", max_size=6) | st.text(min_size=195, max_size=205))
def test_any_text_is_an_id_that_is_known_or_named_in_the_reason(text_client, id):
    """`.` and `..` are left out: clients remove them from a path before they send it."""
    assume(id not in (".", ".."))
    for url in (path("reco", "dssm", id), path("users", id, "history"), path("similar", "dssm", id)):
        answer = text_client.get(url)
        if not 1 <= len(id) <= 200:
            assert answer.status_code == 422
        elif id in (TEXT_ITEMS if "similar" in url else TEXT_USERS):
            assert answer.status_code == 200
        else:
            assert answer.status_code == 404
            assert f" {id} is not in the " in answer.json()["detail"]


def test_users_are_found_by_how_their_id_begins(client, text_client):
    for prefix in [*ODD, "a", "A"]:
        found = text_client.get("/users", params={"query": prefix, "k": 100}).json()
        assert found == sorted(user for user in TEXT_USERS if user.startswith(prefix))
    assert set(text_client.get("/users", params={"k": 5}).json()) <= set(TEXT_USERS)
    assert client.get("/users", params={"query": "x"}).json() == []


def test_without_times_histories_have_no_dates(copy):
    data = histories.load(copy / "features")
    histories.save(copy / "features", replace(data, spec=data.spec | {"timed": False}))
    reindex(copy)
    with TestClient(create(Settings(models=copy / "models"))) as client:
        history = client.get("/users/15/history", params={"k": 100}).json()["history"]
        assert {visit["date"] for visit in history} == {None}
        items = [visit["item_id"] for visit in reversed(history)]
        plain = [{"item_id": item} for item in items]
        dated = [{"item_id": item, "date": f"{1990 + n}-01-01"} for n, item in enumerate(items)]
        answers = [client.post("/reco/dssm", json={"history": visits}).json() for visits in (plain, dated[::-1])]
        assert answers[0] == answers[1], "of dates only the order counts"


def test_disliked_items_are_left_out_with_those_seen(copy):
    data = histories.load(copy / "features")
    with TestClient(create(Settings(models=copy / "models"))) as client:
        first = client.get("/reco/dssm/15", params={"k": 5}).json()["items"]
    row = np.searchsorted(data.item_ids, first[:2])
    disliked = sp.csr_matrix((np.ones(2, np.float32), ([1, 1], row)), shape=data.seen.shape)
    histories.save(copy / "features", replace(data, disliked=disliked))
    reindex(copy)
    with TestClient(create(Settings(models=copy / "models"))) as client:
        assert client.get("/reco/dssm/15", params={"k": 3}).json()["items"] == first[2:]
        every = client.get("/reco/dssm/15", params={"k": 100, "exclude_seen": False}).json()
        assert set(first[:2]) <= {item for item, seen in zip(every["items"], every["seen"], strict=True) if not seen}


def matching(world, where):
    """Ids of the items of `add_columns` that match."""
    every = load(world / "models" / "catalogue")
    return set(every.items[filters.allowed(every, None, np.zeros(0, np.int64), where)].tolist())


@pytest.mark.parametrize("name", MODELS)
def test_a_known_user_and_a_profile_get_the_best_of_what_the_filters_leave(client, world, name):
    every = load(world / "models" / "catalogue").items.tolist()
    where = {"colour": ["red", "blue"], "price": "0-10"}
    allowed = matching(world, where) & set(every[::2]) - set(every[:20])
    assert 8 < len(allowed) < 60
    for asked in ({"user_id": 15}, {"history": [{"item_id": 10}, {"item_id": 31}]}):
        if name == "userknn" and "history" in asked:
            continue
        body = asked | {"exclude_seen": False, "k": 100}
        all_items = client.post(f"/reco/{name}", json=body | {"k": 100}).json()
        plain = [item for item in all_items["items"] if item in allowed]
        found = client.post(
            f"/reco/{name}", json=body | {"where": where, "only": every[::2], "without": every[:20], "k": 8}
        ).json()
        assert len(found["items"]) == 8, "never fewer than k while there are k"
        assert set(found["items"]) <= allowed
        assert found["items"][: len(plain)] == plain[:8]
        assert found["personal"] == (not name.startswith("popular"))


def test_a_user_id_in_the_body_is_the_user_of_the_path(client):
    for user in (5, 15, "25"):
        answer = client.post("/reco/dssm", json={"user_id": user, "k": 7})
        assert answer.json() == client.get(f"/reco/dssm/{user}?k=7").json()


def test_what_an_item_must_not_be_is_left_out_of_lists_by_an_index(world):
    """Items left out are like those seen: the index is asked for more."""
    exact, near = (TestClient(create(Settings(models=world / "models", backend=each))) for each in ("exact", "hnsw"))
    first = exact.get("/reco/dssm/15?k=30").json()["items"]
    for client in (exact, near):
        found = client.post("/reco/dssm", json={"user_id": 15, "without": first[:20], "k": 10}).json()
        assert found["items"] == first[20:]


def test_filters_that_leave_nothing_give_an_empty_list(client):
    for body in ({"only": []}, {"where": {"colour": []}}, {"only": [10], "without": [10]}):
        answer = client.post("/reco/dssm", json=body)
        assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_columns_are_listed_with_their_most_frequent_values(client):
    found = {each["column"]: each for each in client.get("/items/columns").json()}
    assert {name: sorted(each["values"]) for name, each in found.items()} == {
        name: sorted(values) for name, values in ({"group": ["a", "b", "c"]} | COLUMNS).items()
    }
    assert found["colour"]["count"] == 3


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (
            {"where": {"color": "red"}},
            422,
            "where: unknown column 'color'; expected one of group, colour, price",
        ),
        ({"where": {"colour": ["bleu"]}}, 422, "where.colour: unknown value 'bleu'; expected one of blue, green, red"),
        ({"where": {"colour": None}}, 422, "where.colour"),
        ({"where": {"colour": ["red"] * 1001}}, 422, "at most 1,000"),
        ({"only": [4]}, 422, "only: not in the catalogue: 4"),
        ({"without": [10, "x"]}, 422, "without: not in the catalogue: x"),
        ({"only": [10] * 10_001}, 413, "larger than"),
        ({"user_id": 16}, 404, "user 16 is not in the data; leave user_id out"),
        ({"user_id": 15, "history": [{"item_id": 10}]}, 422, "a user_id comes without history and demographics"),
    ],
)
def test_bad_filters_get_a_reason(client, body, status, reason):
    answer = client.post("/reco/dssm", json=body)
    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True), answer.text


@pytest.mark.parametrize("path", ["/health", "/ready", "/", "/models", "/reco/dssm/15", "/reco/no/15"])
def test_head_is_get_without_the_body(client, path):
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head("/reload").status_code == 405


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/reco/dssm/15?K=3", "unknown query parameter 'K'; expected one of k, exclude_seen, fallback; did you mean"),
        ("/reco/dssm/15?k=3&k=4", "query parameter 'k' appears twice"),
        ("/health?x", "unknown query parameter 'x'; expected none"),
        ("/health?x=1", "unknown query parameter 'x'; expected none"),
        ("/items/columns?k=1", "unknown query parameter 'k'; expected none"),
        ("/users?query=1&exact=true", "unknown query parameter 'exact'; expected one of query, k"),
    ],
)  # fmt: skip
def test_unknown_query_parameters_are_refused(client, path, reason):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["detail"].startswith(reason)) == (422, True), answer.text


@pytest.mark.parametrize("path", ["/reco/dssm/15/", "/models/", "/health/", "/reload/", "/docs/"])
def test_no_answer_leads_to_the_host_of_a_header(client, path):
    for headers in ({"host": "evil.example"}, {"x-forwarded-host": "evil.example"}):
        answer = client.get(path, headers=headers, follow_redirects=False)
        assert answer.status_code in (404, 405)
        assert "evil.example" not in f"{answer.headers} {answer.text}"


def test_every_answer_forbids_sniffing_and_frames_and_the_page_inline_scripts(client):
    for path in ("/", "/page.js", "/models", "/nothing", "/reco/dssm/15?k=0"):
        headers = client.get(path).headers
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    page = client.get("/")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    assert "<script>" not in page.text
    assert "style=" not in page.text
    assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/page.css").headers["content-type"].startswith("text/css")
    assert client.get("/page.py").status_code == 422


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "choice", [{}, {"k": 100, "exclude_seen": False}, {"where": {"colour": "red"}, "without": [10]}]
)
def test_a_batch_gets_what_each_of_its_users_gets(client, name, choice):
    users = [595, *range(5, 600, 10), 5]
    answer = client.post(f"/reco/{name}/batch", json={"user_ids": users, **choice})
    assert answer.status_code == 200
    alone = [client.post(f"/reco/{name}", json={"user_id": user, **choice}).json() for user in users]
    assert answer.json() == {"lists": alone}


def test_unknown_users_of_a_batch_get_a_reason_each(client, text_client):
    lists = client.post("/reco/dssm/batch", json={"user_ids": [16, 15, "x"], "k": 3}).json()["lists"]
    reasons = [f"user {user} is not in the data" for user in (16, "x")]
    assert lists[::2] == [{"user_id": user, "detail": each} for user, each in zip((16, "x"), reasons, strict=True)]
    assert lists[1] == client.get("/reco/dssm/15?k=3").json()
    assert client.post("/reco/dssm/batch", json={"user_ids": [16]}).json()["lists"][0]["detail"] == reasons[0]
    found = text_client.post("/reco/dssm/batch", json={"user_ids": TEXT_USERS[:5]}).json()["lists"]
    assert [each["user_id"] for each in found] == TEXT_USERS[:5]


@pytest.mark.parametrize(
    ("name", "body", "status", "reason"),
    [
        ("nothing", {"user_ids": [15]}, 404, "unknown model"),
        ("dssm", {"user_ids": []}, 422, "at least 1 item"),
        ("dssm", {"user_ids": [15] * 1001}, 422, "at most 1000 items"),
        ("dssm", {}, 422, "Field required"),
        ("dssm", {"user_ids": [15], "history": []}, 422, "Extra inputs"),
        ("dssm", {"user_ids": [15], "only": [4]}, 422, "only: not in the catalogue: 4"),
    ],
)
def test_bad_batches_get_a_reason(client, name, body, status, reason):
    answer = client.post(f"/reco/{name}/batch", json=body)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


def test_batch_is_also_an_id_of_a_user(client):
    assert client.get("/reco/dssm/batch").json() == {
        "detail": "user batch is not in the data; use fallback=true to get popular items"
    }


def test_the_version_has_the_hash_of_each_card(client, world):
    answer = client.get("/version").json()
    assert set(answer) == {"version", "revision", "models", "catalogue"}
    assert answer["models"] == {name: sha256(world / "models" / name / "card.json") for name in MODELS}
    assert answer["catalogue"] == sha256(world / "models" / "catalogue" / "catalogue.json")


def in_the_loop(client, monkeypatch, owner, name) -> list[bool]:
    """Of each call of a function from now on: whether it runs in the thread of the event loop, which it keeps busy."""

    async def thread() -> threading.Thread:
        return threading.current_thread()

    loop, inner, seen = client.portal.call(thread), getattr(owner, name), []

    def note(*arguments):
        seen.append(threading.current_thread() is loop)
        return inner(*arguments)

    monkeypatch.setattr(owner, name, note)
    return seen


@pytest.mark.parametrize(("large", "expected"), [(ITEMS, False), (10**6, True)])
def test_only_quick_searches_run_in_the_event_loop(app, client, monkeypatch, large, expected):
    monkeypatch.setattr("retrieval.serving.service.LARGE", large)
    service = app.state.service
    for name, path in (("recommend", "/reco/dssm/15"), ("similar", "/similar/dssm/10"), ("find", "/items?query=film")):
        seen = in_the_loop(client, monkeypatch, service, name)
        assert client.get(path).status_code == 200
        assert seen == [expected]
    bodies = (
        ("recommend_to", "/reco/dssm", {"user_id": 15}),
        ("recommend_to_all", "/reco/dssm/batch", {"user_ids": [15]}),
    )
    for name, path, body in bodies:
        seen = in_the_loop(client, monkeypatch, service, name)
        assert client.post(path, json=body).status_code == 200
        assert seen == [False]


def test_one_user_at_a_time_is_folded_in(app, client, monkeypatch):
    model = app.state.service.store.models["dssm"]
    inner, inside, seen = model.fold_in, [], []

    class FoldIn:
        reads_history = reads_demographics = True

        def __call__(self, watched, demographics):
            inside.append(1)
            time.sleep(0.01)
            seen.append(len(inside))
            inside.pop()
            return inner(watched, demographics)

    expected = client.post("/reco/dssm", json={"history": [{"item_id": 10}]}).json()
    monkeypatch.setattr(model, "fold_in", FoldIn())
    ask = lambda _: client.post("/reco/dssm", json={"history": [{"item_id": 10}]}).json()  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))) == [expected] * 8
    assert seen == [1] * 8


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/reco/dssm", {"only": [1.5] * 3000}, "only.0"),
        ("/reco/dssm", {"history": [{"item_id": 1.5}] * 900}, "history.0.item_id"),
        ("/reco/dssm/batch", {"user_ids": [None] * 1000}, "user_ids.0"),
        ("/reco/dssm", {f"k{i}": 1 for i in range(1500)}, "expected objects of at most 100 fields"),
        ("/reco/dssm", {"history": [{f"k{i}": 1 for i in range(1500)}]}, "expected objects of at most 100 fields"),
    ],
)
def test_of_thousands_of_errors_only_the_first_is_described(client, path, body, reason):
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert reason in detail
    assert detail.count("body.") <= 1
