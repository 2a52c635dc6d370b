"""The stages that evaluate, on a small world: RecTools computes the same numbers, equal seeds write equal files."""

import json
import shutil
from pathlib import Path

import evaluate
import evaluate_external
import evaluate_model
import maps
from retrieval import histories, matrices, newitems
from retrieval.errors import Problem
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features, Histories
from retrieval.ranking import Ranking, rank
from retrieval.stage import folder, write_json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rectools.metrics as rt
import scipy.sparse as sp
from worlds import section

USERS, ITEMS, GENRES = 120, 50, 4
OPTIONS = Evaluation(
    **section("evaluate", ks=[10, 12], head=0.2, resamples=50, negatives=10, points=40, map="tsne", candidates="train")
)
SEED, NAMES = 3, ["popular", "itemknn", "ials", "dssm"]


class World:
    """Users who like genres, what they watched in train and in the test period, and four models."""

    def __init__(self, root: Path, text: bool = False, **about: list) -> None:
        """`text`: the ids are text. `about`: columns of items.parquet instead of the titles."""
        rng = np.random.default_rng(0)
        self.root, self.about = root, about
        self.users, self.items = np.arange(USERS) * 3 + 100, np.arange(ITEMS) * 2 + 7
        self.new = np.array([1, 3])
        if text:
            self.users, self.items, self.new = (
                np.array(sorted(f"{id}/é" for id in ids)) for ids in (self.users, self.items, self.new)
            )
            self.users, self.items = self.users.astype(object), self.items.astype(object)
        genre, taste = rng.integers(0, GENRES, ITEMS), rng.random((USERS, GENRES)).astype(np.float32) ** 3
        draw = rng.random((USERS, ITEMS)) / (taste[:, genre] * np.linspace(1.5, 0.2, ITEMS))
        self.seen = (draw < 0.5) | (np.arange(ITEMS) == 0)
        self.seen[::4, 1] = False
        draw[::4, 1] = 0  # the hit of the test period
        self.truth = (draw < 0.8) & ~self.seen & (rng.random((USERS, 1)) < 0.8)
        self.item_features = np.eye(GENRES, dtype=np.float32)[genre]
        bias = rng.random((ITEMS, 1)) / 9
        self.models = {
            "dssm": (np.hstack([taste, np.ones((USERS, 1))]), np.hstack([self.item_features, bias])),
            "itemknn": (sp.csr_matrix(self.seen), sp.csr_matrix(self.item_features @ self.item_features.T)),
            "ials": (rng.random((USERS, 3)), rng.random((ITEMS, 3))),
            "popular": (np.ones((USERS, 1)), self.seen.sum(axis=0)[:, None]),
        }
        self.write()

    def write(self) -> None:
        user, item = np.nonzero(self.seen)
        indptr = np.append(0, np.cumsum(self.seen.sum(axis=1)))
        history = Histories(indptr, item.astype(np.int32), user.astype(np.int64), np.ones(len(item), np.float32))
        sexes = sp.csr_matrix(np.eye(2, dtype=np.float32)[np.arange(USERS) % 2])
        spec = {
            "user_columns": {"sex": ["F", "M"]},
            "item_columns": {"genres": list("abcd")},
            "moment": 0,
            "repeats": "drop",
            "timed": True,
        }
        for name in ("features", "prepared", "models"):
            (self.root / name).mkdir(parents=True)
        features = Features(history, sexes, sp.csr_matrix(self.item_features), self.users, self.items, spec)
        histories.save(self.root / "features", features)
        self.test.to_parquet(self.root / "prepared" / "test.parquet")
        self.test[:0].to_parquet(self.root / "prepared" / "cold.parquet")
        about = self.about or {"title": [f"Film {i}" for i in 2 * np.arange(ITEMS) + 7]}
        about = {"item_id": self.items[1:]} | {name: values[1:] for name, values in about.items()}
        pq.write_table(pa.table(about), self.root / "prepared" / "items.parquet")
        pq.write_table(
            pa.table({"item_id": self.new, "genres": list("ab")}), self.root / "prepared" / "new_items.parquet"
        )
        new = pd.DataFrame({"user_id": self.users[:3], "item_id": self.new[[0, 0, 1]]})
        new.to_parquet(self.root / "prepared" / "cold_items.parquet")
        for name, (left, right) in self.models.items():
            left, right = (m.astype(np.float32) for m in (left, right))
            kind = {"popular": "constant", "itemknn": "history"}.get(name, "vectors")
            with folder(self.root / "models" / name) as aside:
                if kind == "vectors":
                    newitems.save(aside, features, left, right)
                model = matrices.Model(name, kind, left, right, self.users, self.items, {})
                matrices.write_into(aside, model)
        write_json(self.root / "models" / "dssm" / "history.json", [{"epoch": 1, "loss": 0.5}])

    def frame(self, watched: np.ndarray) -> pd.DataFrame:
        user, item = np.nonzero(watched)
        return pd.DataFrame({"user_id": self.users[user], "item_id": self.items[item]})

    @property
    def test(self) -> pd.DataFrame:
        return self.frame(self.truth)

    def evaluate(self, to: str = "first", **options: str) -> Path:
        """Run the stages: those of each model, what joins them, and the maps."""
        prepared, features, models = (self.root / name for name in ("prepared", "features", "models"))
        evaluation, out = self.root / f"{to}-evaluation", self.root / to
        data, joined = (prepared, features), (out / "metrics", out / "plots")
        own = {"seed": SEED, "evaluate": OPTIONS.model_copy(update=options)}
        for name in NAMES:
            params = evaluate_model.EvaluateModelParams(**own)
            evaluate_model.main(params, *data, models / name, evaluation / name)
        own |= {"models": NAMES, "peers": []}
        params = evaluate_external.EvaluateExternalParams(**own)
        evaluate_external.main(params, *data, models / "external", evaluation / "external")
        evaluate.main(evaluate.EvaluateParams(**own), evaluation, models / "indexes", *joined)
        maps.main(maps.MapsParams(seed=SEED, evaluate=OPTIONS), *data, models / "dssm", out / "plots")
        return out


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def out(world: World) -> Path:
    return world.evaluate()


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def table(ranking: Ranking, users: np.ndarray, items: np.ndarray) -> pd.DataFrame:
    """RecTools' table of recommendations; users are the ids of the ranking's rows, items those of its columns."""
    row, place = np.nonzero(ranking.items >= 0)
    columns = {"user_id": users[row], "item_id": items[ranking.items[row, place]], "rank": place + 1}
    return pd.DataFrame(columns)


def expected(world: World, name: str, watched: np.ndarray, filtered: bool) -> dict[str, float]:
    """RecTools' metrics for the users of `watched` [users, items] who watched anything."""
    left, right = (m.astype(np.float32) for m in world.models[name])
    users = np.flatnonzero(watched.any(axis=1))
    seen = sp.csr_matrix(world.seen, dtype=np.float32) if filtered else None
    reco = table(rank(left, right, users, 10, seen), world.users[users], world.items)
    metrics = {
        "map@10": rt.MAP(10), "ndcg@10": rt.NDCG(10), "recall@10": rt.Recall(10),
        "novelty@10": rt.MeanInvUserFreq(10), "coverage@10": rt.CatalogCoverage(10, normalize=True),
    }  # fmt: skip
    values = rt.calc_metrics(metrics, reco, world.frame(watched), world.frame(world.seen), world.items)
    return {key: pytest.approx(value, rel=1e-5) for key, value in values.items()}


@pytest.mark.parametrize("name", ["dssm", "ials", "itemknn", "popular"])
def test_metrics_are_those_of_rectools_in_all_three_settings(world: World, out: Path, name: str) -> None:
    assert 10 < len(world.test["user_id"].unique()) < USERS
    settings = read(out / "metrics/settings.json")[name]
    for found, watched, filtered in (
        (read(out / "metrics/metrics.json")[name], world.truth, True),
        (settings["test_all"], world.truth, False),
        (settings["train"], world.seen, False),
    ):
        theirs = expected(world, name, watched, filtered)
        assert {metric: found[metric] for metric in theirs} == theirs


def test_new_items_are_candidates_of_the_models_that_can_score_them(world: World, capsys) -> None:
    """With candidates=all, RecTools gets the same lists: those of vectors have the two new items, others do not."""
    out = world.evaluate("all", candidates="all")
    catalogue, watched = np.append(world.items, world.new), np.hstack([world.truth, np.zeros((USERS, 2), bool)])
    watched[[0, 1, 2], [ITEMS, ITEMS, ITEMS + 1]] = True
    seen = sp.csr_matrix(np.hstack([world.seen, np.zeros((USERS, 2))]), dtype=np.float32)
    users, (user, item) = np.flatnonzero(watched.any(axis=1)), np.nonzero(watched)
    rows = pd.DataFrame({"user_id": world.users[user], "item_id": catalogue[item]})
    for name in ("dssm", "popular"):
        model = matrices.load(world.root / "models" / name)
        right = model.right
        if name == "dssm":
            path = world.root / "models" / name
            described = sp.csr_matrix(np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32))
            right = np.vstack([right, newitems.new_items(path, model, described)])
        reco = table(rank(model.left, right, users, 10, seen), world.users[users], catalogue)
        assert reco["item_id"].isin(world.new).any() == (name == "dssm")
        found = read(out / "metrics/metrics.json")[name]
        assert found["map@10"] == pytest.approx(rt.MAP(10).calc(reco, rows), rel=1e-5)
        assert found["recall@10"] == pytest.approx(rt.Recall(10).calc(reco, rows), rel=1e-5)
    said = capsys.readouterr().err
    for name in ("itemknn", "popular"):
        assert f"evaluate: {name}: cannot score the 2 items that are not in train" in said


def test_new_items_have_a_file_of_their_own(out: Path) -> None:
    found = read(out / "metrics/cold_items.json")
    assert list(found) == ["among_new_items", "among_all_items"]
    for setting in found.values():
        assert list(setting["means"]) == ["dssm", "ials", "popular_by_features", "random"]
        assert list(setting["differences"]) == ["ials", "popular_by_features", "random"]
    assert found["among_new_items"]["means"]["random"]["recall@10"]["mean"] == 1  # there are two


def test_debiased_metrics_are_those_of_rectools(world: World, out: Path) -> None:
    user, item = np.nonzero(world.truth)
    rows = pd.DataFrame({"user_id": user.astype(np.int32), "item_id": item.astype(np.int32)})
    left, right = (m.astype(np.float32) for m in world.models["dssm"])
    users = np.unique(user)
    reco = table(rank(left, right, users, 10, sp.csr_matrix(world.seen, dtype=np.float32)), users, np.arange(ITEMS))
    value = rt.MAP(10, debias_config=rt.DebiasConfig(random_state=SEED)).calc(reco, rows)
    beyond = read(out / "metrics/beyond.json")["dssm"]
    assert beyond["debiased_map@10"] == pytest.approx(value, rel=1e-5)
    assert value != pytest.approx(rt.MAP(10).calc(reco, rows), rel=1e-3)


def test_metrics_at_every_k_are_those_of_the_other_files(out: Path) -> None:
    every = read(out / "metrics/by_k.json")["ials"]
    known = read(out / "metrics/metrics.json")["ials"] | read(out / "metrics/beyond.json")["ials"]
    assert list(every)[:2] == ["recall@10", "recall@12"]
    for name in (name for name in every if name.endswith("@10")):
        assert every[name] == known[name], name
    assert every["recall@12"] > every["recall@10"]
    assert every["ndcg@12"] == read(out / "plots/ndcg.json")[11]["ials"]


def test_the_groups_of_taste_tell_who_gets_more_popular_items(world: World, out: Path) -> None:
    """Each model's mean over the users whose history is of such items; the niche get the largest lift."""
    found = read(out / "metrics/groups.json")["taste"]
    assert list(found) == ["niche", "diverse", "blockbuster"]
    assert sum(group["users"] for group in found.values()) == len(world.test["user_id"].unique())
    lifts = [group["popular"]["popularity_lift@10"] for group in found.values()]
    assert lifts == sorted(lifts, reverse=True)
    mean = sum(group["users"] * group["popular"]["popularity_lift@10"] for group in found.values())
    whole = read(out / "metrics/beyond.json")["popular"]["popularity_lift@10"]
    assert mean / len(world.test["user_id"].unique()) == pytest.approx(whole, rel=1e-4)


def test_a_model_of_taste_beats_random_vectors(out: Path) -> None:
    values = read(out / "metrics/metrics.json")
    assert values["dssm"]["map@10"] > 1.5 * values["ials"]["map@10"]  # which is random here
    difference = read(out / "metrics/intervals.json")["differences"]["ials"]["map@10"]
    assert 0 < difference["low"] < difference["mean"] < difference["high"]


def test_files_name_the_models_in_order(out: Path) -> None:
    names = ["dssm", "ials", "itemknn", "popular"]
    for file in ("metrics", "by_k", "settings", "beyond"):
        assert list(read(out / f"metrics/{file}.json")) == names
    assert list(read(out / "plots/ndcg.json")[0]) == ["k", *names]
    assert list(read(out / "plots/popularity.json")[0]) == ["part", *names]
    assert list(read(out / "metrics/groups.json")) == ["sex", "activity", "taste"]
    assert sorted(path.name for path in (out / "plots/scores").iterdir()) == ["dssm.json", "ials.json"]  # of vectors
    assert read(out / "plots/loss.json") == [{"epoch": 1, "loss": 0.5}]
    assert read(out / "plots/ndcg.json")[9]["dssm"] == read(out / "metrics/metrics.json")["dssm"]["ndcg@10"]


def test_equal_seed_equal_bytes(world: World, out: Path) -> None:
    first, second = out, world.evaluate("second")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 11 + 3 + 2 + 4
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_text_ids_change_nothing(world: World, out: Path, tmp_path: Path) -> None:
    text = World(tmp_path, text=True).evaluate()
    for file in (path.relative_to(out) for path in out.rglob("*") if path.is_file()):
        assert (out / file).read_bytes() == (text / file).read_bytes(), file


@pytest.mark.parametrize(
    "title",
    [
        ["x" * 50_000] * ITEMS,
        ["line\nbreak\r\n\ttab\x00\x1b[1m"] * ITEMS,
        [["a", "b"], [], None] + [["c"]] * (ITEMS - 3),
        [None] * ITEMS,
    ],
)
def test_strange_titles_do_not_stop_the_pictures(tmp_path: Path, title: list) -> None:
    out = World(tmp_path, title=pa.array(title, None if title[0] else pa.string())).evaluate()
    assert (out / "plots/items.png").stat().st_size > 10_000


def test_the_machine_of_a_training_that_is_not_exact_is_written(tmp_path: Path) -> None:
    world, machine = World(tmp_path), {"precision": "float32", "cpu": "A", "threads": 2}
    path = tmp_path / "models" / "dssm"
    model = matrices.load(path)
    matrices.save(tmp_path / "again" / "dssm", model.left, model.right, model.users, model.items, kind=model.kind,
                  machine=machine)  # fmt: skip
    (tmp_path / "again" / "dssm" / "card.json").replace(path / "card.json")
    written = json.loads((world.evaluate() / "metrics" / "machines.json").read_text(encoding="utf-8"))
    assert written == {"dssm": machine}


def test_a_model_that_is_not_evaluated_is_an_error(world: World, out: Path, tmp_path: Path) -> None:
    evaluation = shutil.copytree(world.root / "first-evaluation", tmp_path / "evaluation")
    (evaluation / "ials").rename(evaluation / "other")
    params = evaluate.EvaluateParams(seed=SEED, models=NAMES, peers=[], evaluate=OPTIONS)
    with pytest.raises(Problem, match=r"evaluation/ials: no such folder; run dvc repro evaluate"):
        evaluate.main(params, evaluation, tmp_path / "indexes", tmp_path / "metrics", tmp_path / "plots")


def test_a_folder_of_a_model_that_is_not_named_is_not_read(world: World, out: Path, tmp_path: Path) -> None:
    params = evaluate.EvaluateParams(seed=SEED, models=["dssm", "popular"], peers=[], evaluate=OPTIONS)
    evaluation = world.root / "first-evaluation"
    evaluate.main(params, evaluation, tmp_path / "indexes", tmp_path / "metrics", tmp_path / "plots")
    assert list(read(tmp_path / "metrics/metrics.json")) == ["dssm", "popular"]
    assert list(read(tmp_path / "metrics/intervals.json")["differences"]) == ["popular"]
    for name in ("dssm", "popular"):
        assert read(tmp_path / "metrics/metrics.json")[name] == read(out / "metrics/metrics.json")[name]


def test_the_summary_has_three_metrics_of_each_model(out: Path) -> None:
    metrics = read(out / "metrics/metrics.json")
    names = ("map@10", "ndcg@10", "novelty@10")
    assert read(out / "metrics/summary.json") == {
        model: {name: metrics[model][name] for name in names} for model in metrics
    }


def test_recall_and_size_of_the_indexes_are_in_one_file(world: World, out: Path, tmp_path: Path) -> None:
    measured = {"hnsw": {"recall@10": 0.5, "megabytes": 1.0}}
    write_json(tmp_path / "indexes" / "ials" / "index.json", {"measured": measured})
    params = evaluate.EvaluateParams(seed=SEED, models=NAMES, peers=[], evaluate=OPTIONS)
    evaluation = world.root / "first-evaluation"
    evaluate.main(params, evaluation, tmp_path / "indexes", tmp_path / "metrics", tmp_path / "plots")
    assert read(tmp_path / "metrics/index.json") == {"ials": measured}


@pytest.mark.parametrize("text", [False, True])
def test_lists_of_another_system_are_judged_like_a_model(tmp_path: Path, text: bool) -> None:
    """The lists that RecTools' table would have of a model get the numbers of the model."""
    world = World(tmp_path, text=text)
    left, right = (m.astype(np.float32) for m in world.models["ials"])
    lists = rank(left, right, np.arange(USERS), 20, sp.csr_matrix(world.seen, dtype=np.float32))
    (tmp_path / "models" / "external" / "other").mkdir(parents=True)
    table(lists, world.users, world.items).to_parquet(tmp_path / "models" / "external" / "other" / "reco.parquet")
    out = world.evaluate()
    for name in ("metrics", "beyond"):
        values = read(out / f"metrics/{name}.json")
        assert values["other"] == values["ials"], name
    for name in ("ndcg", "popularity"):
        assert all(row["other"] == row["ials"] for row in read(out / f"plots/{name}.json")), name
    assert list(read(out / "metrics/settings.json")) == ["dssm", "ials", "itemknn", "popular"], "one list per user"
    assert list(read(out / "metrics/intervals.json")["means"]) == ["dssm", "ials", "itemknn", "popular", "other"]
