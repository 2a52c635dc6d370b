"""RecTools' SASRec as two matrices: its lists are RecTools' own, order is learned, ids are those of the data."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import train_sasrec
from retrieval import histories, matrices
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.params import load, validate
from retrieval.ranking import rank
from retrieval.sasrec import SASRec, build, dataset, train

import numpy as np
import pytest
import worlds
from repositories import RESULTS, dvc, metrics, run

lightning = pytest.importorskip("pytorch_lightning", reason="needs requirements/sasrec.txt")

ROOT = Path(__file__).parents[1]
SMALL = {"factors": 16, "blocks": 1, "heads": 1, "dropout": 0.0, "length": 10, "negatives": 8, "batch": 16}
QUICK = SMALL | {"epochs": 30, "learning_rate": 0.01}
VARIANTS = [{}, {"layers": "ligr", "loss": "sampled_softmax"}, {"loss": "BCE", "item": "id"}]
ITEMS = 20  # of the chain


def params(**changes: Any) -> SASRec:
    values = load(ROOT / "params.yaml") | {"seed": 1}
    values["sasrec"] |= QUICK | changes
    return validate(train_sasrec.TrainSASRecParams, values).sasrec


@pytest.fixture(scope="module")
def chain() -> Features:
    return worlds.chain(users=60, items=ITEMS, length=8, seed=0)


def lists(features: Features, left: np.ndarray, right: np.ndarray, k: int) -> np.ndarray:
    """The k best items of all users that are not excluded, [users, k]."""
    return rank(left, right, np.arange(len(left)), k, features.excluded).items


@pytest.mark.parametrize("changes", VARIANTS, ids=["sasrec", "esasrec", "bce"])
def test_a_chain_is_learned_and_the_lists_are_those_of_rectools(chain, changes):
    left, right = train(chain, params(**changes), seed=1)
    found = lists(chain, left, right, 3)
    last = chain.histories.item[chain.histories.indptr[1:] - 1]
    assert (found[:, 0] == (last + 1) % ITEMS).mean() > 0.9
    lightning.seed_everything(1, verbose=False)
    data = dataset(chain)
    theirs = build(params(**changes)).fit(data).recommend(np.arange(60), data, 3, filter_viewed=True)
    assert (theirs.sort_values(["user_id", "rank"])["item_id"].to_numpy().reshape(60, 3) == found).all()


def test_equal_seeds_give_equal_bytes_and_others_do_not(chain):
    one, same, other = (train(chain, params(epochs=1, dropout=0.5), seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert (one[0] != other[0]).any()


def test_items_that_nobody_can_learn_come_last_and_users_who_watched_only_them_get_the_mean(chain):
    """User 60 has watched item 20 alone, and no one else has. The chain is too short to know it from."""
    sequences = np.split(chain.histories.item, chain.histories.indptr[1:-1])
    features = worlds.features_of([*(each.tolist() for each in sequences), [ITEMS]], ITEMS + 1)
    left, right = train(features, params(epochs=2), seed=1)
    scores = left.astype(np.float64) @ right.T.astype(np.float64)
    assert (scores.argmin(axis=1) == ITEMS).all()
    np.testing.assert_allclose(left[60], left[:60].mean(axis=0), atol=1e-5)
    assert (lists(features, left, right, 3)[60] < ITEMS).all()


def test_items_without_columns_have_ids_alone(chain):
    bare = replace(chain, items=chain.items[:, :0])
    assert [each.shape for each in train(bare, params(epochs=1), seed=1)] == [(60, 17), (20, 17)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"heads": 3}, "params.yaml: sasrec: factors=16 is not a multiple of heads=3"),
        ({"layers": "liger"}, "params.yaml: sasrec.layers: 'liger' is not valid: .*did you mean 'ligr'"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(changes, reason):
    with pytest.raises(Problem, match=reason):
        params(**changes)


def test_a_training_that_diverges_names_the_epoch_and_the_learning_rate(chain):
    with pytest.raises(Problem, match=r"the loss of epoch \d is nan: .* diverged; lower sasrec.learning_rate=1e\+30$"):
        train(chain, params(learning_rate=1e30), seed=1)


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
def test_the_model_has_the_ids_of_the_data_and_leaves_seen_items_out(tmp_path, text):
    worlds.write_world(tmp_path, text=text)
    values = load(ROOT / "params.yaml")
    values["sasrec"] |= QUICK | {"epochs": 1}
    out = tmp_path / "models" / "sasrec"
    train_sasrec.main(validate(train_sasrec.TrainSASRecParams, values), tmp_path / "features", out)
    data, model = histories.load(tmp_path / "features"), matrices.load(out)
    assert model.users.tolist() == data.user_ids.tolist()
    assert model.items.tolist() == data.item_ids.tolist()
    found = lists(data, model.left, model.right, 10)
    assert found.min() >= 0
    assert not any(data.seen[user, items].sum() for user, items in enumerate(found))
    assert model.card["machine"]["precision"] == "float32"


def test_an_experiment_adds_the_row_and_trains_nothing_else(project):
    """With the real DVC. The default table has no such row, and the way back leads to it."""
    before, way_back = metrics(project), ("params.yaml", "dvc.lock", *RESULTS)
    output = dvc(project, "exp", "run", "-S", "peers=[sasrec]", "-S", "sasrec.epochs=1", "-S", "sasrec.factors=8")
    ran = re.findall(r"Running stage '(.+)'", output)
    own = [f"peers/dvc.yaml:{stage}@sasrec" for stage in ("train", "evaluate")]
    assert [stage for stage in ran if stage not in ("check", "evaluate", "evaluate_external")] == own
    after = metrics(project)
    assert after.pop("sasrec")["map@10"] > 0
    assert after == before
    assert "sasrec" in json.loads((project / "metrics" / "machines.json").read_text(encoding="utf-8"))
    run(project, "git", "checkout", *way_back)
    run(project, "git", "clean", "-fq", "peers", "plots")
    dvc(project, "checkout")
    assert "up to date" in dvc(project, "status")
