"""Resolve: what each `auto` becomes, and which combinations are refused."""

from dataclasses import replace

from retrieval.errors import Problem
from retrieval.params import load, validate
from retrieval.training.losses import LOSSES
from retrieval.training.resolve import TrainDSSMParams, resolve

import pytest
from worlds import FEATURES, ROOT, chain, features_of, training_params

AUTO = dict.fromkeys(["epochs", "patience", "recency", "weight_decay", "warmup"], "auto")
RING = chain(users=300, items=20, length=8, seed=0)


def by_days(features):
    return replace(features, spec={**features.spec, "split": "days"})


def flat(values, above=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def test_nothing_is_auto_afterwards_and_the_line_names_what_was(capsys):
    autos = ["history", "score", "towers.bias", "trend.enabled", "negatives.shared", "train.learning_rate"]
    autos += ["negatives.exclude_seen", "towers.ensemble"]
    autos += ["trend.user_weight", "trend.mean_weight"]
    autos += [f"train.{name}" for name in ("epochs", "batch", "weight_decay", "warmup", "recency")]
    autos += ["train.patience", "train.precision"]
    values = load(ROOT / "params.yaml")
    for key in autos:
        *above, name = key.split(".")
        (values[above[0]] if above else values)[name] = "auto"
    params = validate(TrainDSSMParams, values)
    after_training = ["towers.popularity", "cooccurrence.weight"]  # see `weighing`
    others = [key for key, value in flat(params.model_dump()) if value == "auto" and key not in autos + after_training]
    assert not others, f"add to autos: {others}"
    resolved = dict(flat(resolve(params, FEATURES).model_dump()))
    assert [key for key, value in resolved.items() if value == "auto"] == after_training
    line = capsys.readouterr().err
    assert line.startswith("auto: ")
    assert all(f"{key}={resolved[key]}" in line for key in autos)


def test_items_of_the_history_are_negatives_where_users_come_back_to_them():
    for repeats, excluded in (("drop", True), ("keep", False)):
        data = replace(RING, spec={**RING.spec, "repeats": repeats})
        assert training_params(data, exclude_seen="auto").negatives.exclude_seen is excluded
        assert training_params(data, exclude_seen=not excluded).negatives.exclude_seen is not excluded


def test_resolved_parameters_stay_as_they_are(capsys):
    resolved = training_params(RING)
    capsys.readouterr()
    assert resolve(resolved, by_days(RING)) == resolved
    assert capsys.readouterr().err == "auto: none\n"


def test_epochs_patience_recency_and_decay_follow_the_data():
    """RING has 300 users: a tenth of them is too few to validate on. 40 % of 1,300 users of three items are 520, and
    their 3,900 targets make 30.5 steps of 128: 6,000 steps are 197 epochs, and 100 are enough; 500 steps are 17. A
    twentieth of the 24 x 19 steps of RING is 23, of 7 x 975 steps 341."""
    small = training_params(RING, **AUTO).train
    assert (small.epochs, small.patience, small.recency, small.weight_decay, small.warmup) == (24, 0, 0, 0.01, 23)
    large = features_of([[0, 1, 2]] * 1300, 3)
    train = training_params(large, **AUTO, holdout=0.4).train
    assert (train.epochs, train.patience) == (100, 17)
    train = training_params(large, **AUTO, holdout=0.4, batch=4).train  # 975 steps per epoch
    assert (train.epochs, train.patience, train.warmup) == (7, 6, 341)
    train = training_params(large, **AUTO, holdout=0.0).train
    assert (train.epochs, train.patience) == (24, 0)
    train = training_params(by_days(large), **AUTO).train
    assert (train.recency, train.weight_decay, train.warmup) == (60, 0.3, 30)
    # 20 of 21 items are 3,650 days older than the newest. For a tenth of them to be targets 2^(-3650 / d) has to be
    # (2.1 - 1) / 20 = 0.055, and so d 872 days: 60 doubled four times is 960
    old = features_of([list(range(21))] * 3, 21, [[0] * 20 + [3650]] * 3)
    assert training_params(by_days(old), **AUTO).train.recency == 960


def test_short_trainings_are_exact():
    """RING has 2,400 interactions and 20 items: in width 8 an epoch is 384,000 products, and 10^12 are 2.6 million."""
    for epochs, precision in ((2_604_166, "float64"), (2_604_167, "float32")):
        assert training_params(RING, precision="auto", epochs=epochs).train.precision == precision
    assert training_params(RING, precision="float32").train.precision == "float32"


def test_an_epoch_has_24_steps_where_batch_is_auto():
    """23 x 4,096 = 94,208 targets make 23 steps of 4,096 and 46 of 2,048; 900 make 4 of 256, the least."""
    for users, length, batch in ((47_104, 2, 2048), (47_105, 2, 4096), (300, 3, 256)):
        features = features_of([list(range(length))] * users, length)
        assert training_params(features, batch="auto").train.batch == batch


def test_large_catalogues_are_sampled_and_learned_faster(monkeypatch):
    """RING has 300 users x 8 targets x 20 items = 48,000 pairs in an epoch."""
    for most, loss, shared, learning_rate in (
        (48_000, "softmax", 0, 0.003),
        (47_999, "softmax", 512, 0.01),
        (47_999, "bpr", 0, 0.003),
    ):
        monkeypatch.setattr("retrieval.training.resolve.WHOLE", most)
        params = training_params(RING, loss=loss, shared="auto", learning_rate="auto")
        assert (params.negatives.shared, params.train.learning_rate) == (shared, learning_rate)
    assert training_params(RING, shared=7, learning_rate="auto").train.learning_rate == 0.01


def test_judges_take_the_place_of_held_out_items():
    """3,900 targets are 15.2 steps of 256, and 500 steps 33 epochs; 500 judges tell epochs apart, 499 do not."""
    large, values = features_of([[0, 1, 2]] * 1300, 3), load(ROOT / "params.yaml")
    values["train"]["holdout"] = 0.4
    for judges, expected in ((500, (100, 33, 0.0)), (499, (24, 0, 0.0)), (0, (24, 0, 0.0)), (None, (100, 33, 0.4))):
        train = resolve(validate(TrainDSSMParams, values), large, judges).train
        assert (train.epochs, train.patience, train.holdout) == expected


def test_patience_is_for_data_that_have_something_to_validate_on():
    assert training_params(features_of([[0, 1]] * 9, 2), patience=3).train.patience == 0
    assert training_params(features_of([[0, 1, 2]] * 9, 3), patience=3).train.patience == 3


def test_history_trend_bias_and_ensemble_follow_the_split_and_the_loss():
    days, last, many = by_days(FEATURES), FEATURES, features_of([[0, 1]] * 5000, 2)
    for features, loss, expected in (
        (last, "softmax", ("transformer", False, True, 1)),
        (days, "softmax", ("bag", True, False, 1)),
        (many, "softmax", ("transformer", False, True, 1)),
        (by_days(many), "softmax", ("bag", True, False, 2)),
        (by_days(features_of([[0, 1]] * 4999, 2)), "softmax", ("bag", True, False, 1)),
        (last, "triplet", ("transformer", False, False, 1)),
        (days, "ccl", ("bag", False, False, 1)),
    ):
        params = training_params(features, loss=loss, history="auto", ensemble="auto")
        assert (params.history, params.trend.enabled, params.towers.bias, params.towers.ensemble) == expected
    assert training_params(days, history="gru", bias=False, trend=False).history == "gru"


def test_popularity_is_left_to_held_out_items_where_a_trend_does_not_say_more():
    """Without a bias there is nothing that it could be added to."""
    days, last = by_days(FEATURES), FEATURES
    for features, changes, expected in (
        (last, {}, "auto"),
        (last, {"popularity": 0.5}, 0.5),
        (last, {"bias": False}, 0),
        (last, {"loss": "ccl"}, 0),
        (days, {}, 0),
        (days, {"trend": False}, 0),
        (days, {"trend": False, "popularity": 0.5}, 0.5),
    ):
        params = training_params(features, **{"popularity": "auto"} | changes)
        assert params.towers.popularity == expected, changes


@pytest.mark.parametrize("loss", LOSSES)
def test_the_score_is_the_losss_own(loss):
    assert training_params(loss=loss).score == LOSSES[loss].score


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "triplet", "score": "cosine"}, "expected score=euclid, or normalize=true"),
        ({"loss": "ccl", "score": "dot"}, "expected score=cosine, or normalize=true"),
        ({"heads": 3}, "width 8 is not a multiple of heads 3"),
        ({"loss": "triplet", "trend": True}, "loss=triplet has a margin, and its scores can have no trend"),
        ({"loss": "triplet", "bias": True}, "loss=triplet has a margin, and its scores can have no trend"),
        ({"loss": "triplet_semihard", "temperature": 0.5}, r"towers.temperature=1.0"),
        ({"loss": "ccl", "learn_temperature": True}, "towers.learn_temperature=false"),
        ({"trend": True, "bias": True}, "a trend takes the place of the items' bias"),
        ({"popularity": 0.3, "bias": False}, "popularity=0.3 is added to the items' biases: expected bias=true, or 0"),
        ({"popularity": 0.3, "loss": "ccl"}, "popularity=0.3 is added to the items' biases"),
    ],
)
def test_combinations_that_are_not_possible_are_refused(changes, message):
    with pytest.raises(Problem, match=message):
        training_params(**changes)


def test_a_bias_beside_the_trend_that_auto_becomes_is_refused():
    with pytest.raises(Problem, match="a trend takes the place of the items' bias"):
        training_params(by_days(FEATURES), bias=True)


def test_a_margin_works_with_normalized_vectors_of_another_score():
    assert training_params(loss="triplet", score="cosine", normalize=True).score == "cosine"
