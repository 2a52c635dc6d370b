"""The rehearsal: the weights of a score's parts, chosen by the last days of train."""

import json
from dataclasses import replace
from itertools import product

from retrieval.histories import DAY
from retrieval.params import load, validate
from retrieval.training import rehearsal
from retrieval.training.loop import fit
from retrieval.training.rehearsal import GRIDS, USERS, Later, middle_of_best, one_period_earlier, rehearse
from retrieval.training.resolve import TrainDSSMParams, resolve

import numpy as np
import pytest
import scipy.sparse as sp
from worlds import ROOT, features_of, training_params, write_world

DAYS = 7


def by_days(sequences, items, days):
    """Features whose test is the week after the last interaction."""
    features = features_of(sequences, items, days)
    return replace(features, spec={**features.spec, "split": "days", "days": DAYS})


def asked(**changes):
    """params.yaml with small towers, and `auto` for the weights."""
    values = load(ROOT / "params.yaml") | {"architecture": "mlp"}
    values["towers"] |= {"width": 8, "dropout": 0.0}
    values["train"] |= {"epochs": 8, "patience": 0, "batch": 256, "learning_rate": 0.01}
    values["trend"] |= {"windows": [7], "mix": [1.0], "slope": 1.0}
    for name, change in changes.items():
        values[name] |= change
    return validate(TrainDSSMParams, values)


def weeks(users=200, items=40, true=True, seed=0):
    """Six weeks of two items per user, of the user's own half of the items; in the last week of the other half if they
    are not `true` to it."""
    random, sequences, days = np.random.default_rng(seed), [], []
    for user in range(users):
        own, other = (2 * random.permutation(items // 2) + (user + half) % 2 for half in range(2))
        sequences.append([*own[:10].tolist(), *(own[10:12] if true else other[:2]).tolist()])
        days.append(np.sort(np.concatenate([7 * week + random.permutation(7)[:2] for week in range(6)])).tolist())
        del days[-1][len(sequences[-1]) :]
    return by_days(sequences, items, days)


def weights(params):
    return params.trend.user_weight, params.trend.mean_weight, params.cooccurrence.weight


def test_train_one_period_earlier_by_hand():
    """Train ends at the end of day 13, so the rehearsal's does at that of day 6. User 1 came later, item 4 as well."""
    features = by_days([[0, 2, 3], [3, 0], [2, 4, 0]], 5, [[1, 6, 8], [9, 13], [3, 7, 8]])
    assert features.spec["moment"] == 14 * DAY - 1
    before, later = one_period_earlier(features, seed=0)
    assert before.spec["moment"] == 7 * DAY - 1
    assert before.user_ids.tolist() == [0, 2]
    assert before.item_ids.tolist() == [0, 2]
    assert before.seen.toarray().tolist() == [[1, 1], [0, 1]]
    assert (before.histories.time // DAY).tolist() == [1, 6, 3]
    assert later.toarray().tolist() == [[0, 0], [1, 0]]  # item 3 was new
    assert (before.users != features.users[[0, 2]]).nnz == (before.items != features.items[[0, 2]]).nnz == 0


def test_of_large_data_a_sample_of_the_users_rehearses(monkeypatch):
    """200 users with 12 interactions each and 40 items: 96,000 products, of which a quarter is 50 users'."""
    features = weeks()
    monkeypatch.setattr(rehearsal, "REHEARSED", 24_000)
    before, later = one_period_earlier(features, seed=0)
    assert len(before.user_ids) == later.shape[0] == 50
    assert np.array_equal(np.diff(before.histories.indptr), [10] * 50)
    assert before.user_ids.tolist() != one_period_earlier(features, seed=1)[0].user_ids.tolist()


def test_where_taste_comes_true_the_towers_have_all_the_weight(capsys):
    user, mean, _ = weights(rehearse(asked(trend={"slope": 20.0}), weeks()))
    assert user == max(GRIDS[0])
    assert f"train_dssm: trend.user_weight={user}, trend.mean_weight={mean}, cooccurr" in capsys.readouterr().err


def test_where_it_does_not_come_true_they_have_little():
    params = asked(trend={"slope": 1.0}, cooccurrence={"weight": 0.0})
    user, _, pairs = weights(rehearse(params, weeks(true=False)))
    assert user == min(GRIDS[0])
    assert pairs == 0.0


@pytest.mark.parametrize(("true", "epochs"), [(True, {7, 6, 5}), (False, {1, 2})])
def test_training_lasts_as_long_as_the_later_days_ask_for(true, epochs, capsys):
    """Where taste comes true each epoch is better than the one before, where it turns each is worse. The rehearsal has
    ten of the twelve interactions, so that its 8 epochs have as many steps as 6.7 of the training."""
    found = rehearse(asked(train={"patience": 8}), weeks(true=true)).train
    assert found.epochs in epochs
    assert (found.patience, found.precision) == (0, "float64")
    assert f"train_dssm: train.epochs={found.epochs}\n" in capsys.readouterr().err
    assert rehearse(asked(train={"patience": 0}), weeks(true=true)).train.epochs == 8


@pytest.mark.parametrize("ensemble", ["auto", 3])
def test_of_an_ensemble_one_member_rehearses(ensemble, capsys):
    found = rehearse(asked(towers={"ensemble": ensemble}), weeks())
    assert found.towers.ensemble == ensemble
    assert capsys.readouterr().err.count("epoch 1/8") == 1
    assert weights(found) == weights(rehearse(asked(towers={"ensemble": 1}), weeks()))


def test_of_epochs_that_are_equally_good_the_middle_one_counts():
    """99 % of 0.3 are 0.297, which epochs 3, 4 and 8 have: their mean is 5."""
    validation = [0.1, 0.2, 0.298, 0.3, 0.2969, 0.29, 0.296, 0.299, 0.2]
    history = [{"epoch": epoch, "validation": value} for epoch, value in enumerate(validation, start=1)]
    assert middle_of_best(history) == 5.0
    assert middle_of_best(history[:2]) == 2.0


def test_a_sample_tells_the_steps(monkeypatch):
    """1,000 of the 2,400 interactions rehearse: 8, 7 or 6 of their epochs have as many steps as 3.3, 2.9 or 2.5."""
    monkeypatch.setattr(rehearsal, "REHEARSED", 48_000)
    assert rehearse(asked(train={"patience": 8}), weeks()).train.epochs in {2, 3}


def test_values_that_are_given_stay():
    user, mean, pairs = weights(rehearse(asked(trend={"user_weight": 0.3}), weeks()))
    assert user == 0.3
    assert mean in GRIDS[1]
    assert pairs in GRIDS[2]


def test_there_is_none_without_a_trend_days_choice_or_users(capsys):
    features = weeks()
    last = replace(features, spec=features.spec | {"split": "leave-last"})
    for params, data in (
        (asked(trend={"enabled": False}), features),
        (asked(trend={"user_weight": 0.3, "mean_weight": 0.0}), features),
        (asked(), last),
        (asked(trend={"enabled": True}), last),
    ):
        assert rehearse(params, data) is params
    assert capsys.readouterr().err == ""
    params = asked()
    assert rehearse(params, weeks(users=49)) is params
    assert capsys.readouterr().err == "train_dssm: no rehearsal, as 49 users are too few\n"
    assert weights(resolve(params, features)) == (0.2, 0.4, "auto")


def test_towers_count_less_where_users_are_too_few_to_tell_epochs_apart():
    params, features = asked(), weeks()
    assert [weights(resolve(params, features, judges=count))[0] for count in (499, 500)] == [0.2, 0.7]


def test_average_precision_is_that_of_the_models_own_lists():
    """The slow twin trains with each of the weights, and sorts the scores of its two matrices."""
    before, later = one_period_earlier(weeks(users=60), seed=0)
    params = training_params(before, trend=True, width=8, epochs=2, user_weight=1.0, mean_weight=1.0)
    options = [(*both, 0.0) for both in product((0.1, 1.0), (0.0, 0.4))]
    test = Later(before, later, params)
    found = test.precision(test.terms(fit(params, before).model), options)
    for values, (user, mean, _) in zip(found, options, strict=True):
        own = training_params(before, trend=True, width=8, epochs=2, user_weight=user, mean_weight=mean)
        left, right = fit(own, before).model.matrices(before.histories)
        scores = np.where(before.seen.toarray() > 0, -np.inf, left.astype(np.float64) @ right.T)
        assert values.tolist() == pytest.approx([slow_precision(*row) for row in zip(scores, later, strict=True)])


def test_of_many_users_a_sample_gives_the_mean_user(monkeypatch):
    before, later = one_period_earlier(weeks(users=60), seed=0)
    params = training_params(before, trend=True, width=8, epochs=1, user_weight=1.0, mean_weight=1.0)
    net = fit(params, before).model
    every = Later(before, later, params).terms(net)
    monkeypatch.setattr("retrieval.training.rehearsal.MEAN_OF", 12)
    test = Later(before, later, params)
    sampled = test.terms(net)
    assert len(test.anyone) == 12
    assert sampled.users == pytest.approx(every.users, abs=1e-6)
    assert sampled.mean == pytest.approx(net.matrices(before.histories)[0][test.anyone, :-1].mean(axis=0), abs=1e-6)


def slow_precision(scores: np.ndarray, later: sp.csr_matrix) -> float:
    watched, hits, total = set(later.indices.tolist()), 0, 0.0
    for place, item in enumerate(np.argsort(-scores, kind="stable")[:10], 1):
        if item in watched:
            hits += 1
            total += hits / place
    return total / len(watched)


def test_few_candidates_and_many_users():
    """Lists of 10 from 4 unwatched items end in nothing; weights are compared on USERS at most."""
    features = weeks(users=USERS + 5, items=14)
    before, later = one_period_earlier(features, seed=0)
    params = training_params(before, trend=True, width=4, epochs=1, user_weight=1.0, mean_weight=1.0)
    test = Later(before, later, params)
    values = test.precision(test.terms(fit(params, before).model), [(0.7, 0.4, 0.1)])
    assert values.shape == (1, USERS)
    assert 0 < values.mean() <= 1


def test_the_stage_writes_what_it_chose_and_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rehearsal, "FEWEST", 20)
    write_world(tmp_path / "world", split="days", days=4)
    assert "train_dssm: rehearsal, on all but the last 4 days of train" in capsys.readouterr().err
    params = json.loads((tmp_path / "world" / "models" / "dssm" / "card.json").read_text())["params"]
    assert params["trend"]["user_weight"] in GRIDS[0]
    assert params["trend"]["mean_weight"] in GRIDS[1]
    assert params["cooccurrence"]["weight"] in GRIDS[2]
    assert not list(tmp_path.glob(".checkpoints/*"))
