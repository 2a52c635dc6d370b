"""Trend: counted from before the day that is predicted, part of every score in training and in the two matrices."""

import math

from retrieval.dssm.batches import Batches
from retrieval.dssm.ensemble import Ensemble
from retrieval.dssm.trend import Prior, Trend
from retrieval.training.losses import LOSSES
from retrieval.training.negatives import SAMPLERS

import numpy as np
import pytest
import torch
from worlds import DAY, batch, features_of, model, sampler_of, section, training_params

OPTIONS = training_params(trend=True, bias=False).trend
# Items 0, 1, 2 by day; serving is at the end of day 9.
FEATURES = features_of([[0, 1], [0, 2], [2, 0]], 3, [[1, 9], [8, 9], [2, 4]])


def day(number: float) -> torch.Tensor:
    return torch.tensor([int(number * DAY)])


def prior(week: list[float]) -> list[float]:
    return [2 * math.log1p(count) for count in week]


def test_the_prior_of_serving_by_hand():
    """In the last day: item 1 once, 2 once. In the last seven, days 3 to 9: 0 twice (4, 8), 1 once, 2 once.
    .5 x 7 x last day + .25 x last week: 0 has .5, 1 and 2 have 3.5 + .25."""
    assert FEATURES.spec["moment"] == 10 * DAY - 1
    assert Prior(FEATURES, OPTIONS).serving().tolist() == pytest.approx(prior([0.5, 3.75, 3.75]))


def test_few_interactions_hardly_move_an_item_and_many_do():
    """As above, recent is .5, 3.75 and 3.75; usual, of the longest window, 2, 1 and 1. With smoothing 3, w is 2/5 and
    1/4: .4 x .5 + .6 x 2 = 1.4 and .25 x 3.75 + .75 x 1 = 1.6875. With 98 in a week, all on the last day, recent is
    3.75 x 98, and w 98/101."""
    smoothed = OPTIONS.model_copy(update={"smoothing": 3.0})
    assert Prior(FEATURES, smoothed).serving().tolist() == pytest.approx(prior([1.4, 1.6875, 1.6875]))
    assert Prior(FEATURES, smoothed).at(day(1))[1].tolist() == [[0, 0, 0]]  # no interaction yet
    many = features_of([[0] * 100 + [1, 1]], 2, [[0] * 2 + [9] * 98 + [3, 9]])
    assert Prior(many, smoothed).serving()[0].item() == pytest.approx(2 * math.log1p((98 * 3.75 * 98 + 3 * 98) / 101))


def test_nothing_of_the_day_itself_or_after_it_counts():
    """For day 9 the last day is 8: item 0 once; the last seven are 2 to 8: 0 twice (4, 8), 2 once."""
    known = Prior(FEATURES, OPTIONS)
    for hour in (0, 5, 23.9):
        place, table = known.at(day(9 + hour / 24))
        assert table[place[0]].tolist() == pytest.approx(prior([3.5 + 0.5, 0, 0.25]))
    place, table = known.at(day(1))
    assert table[place[0]].tolist() == [0, 0, 0]


def test_the_future_can_change_without_changing_the_prior():
    rng = np.random.default_rng(0)
    days = [np.sort(rng.integers(0, 30, 4)).tolist() for _ in range(20)]
    days[0][-1] = 30
    items = [rng.permutation(9)[:4].tolist() for _ in range(20)]
    changed = [[8 - i if d >= 15 else i for i, d in zip(*row, strict=True)] for row in zip(items, days, strict=True)]
    before, after = (Prior(features_of(rows, 9, days), OPTIONS).at(day(15.5))[1] for rows in (items, changed))
    assert torch.equal(before, after)
    later = [Prior(features_of(rows, 9, days), OPTIONS).at(day(25))[1] for rows in (items, changed)]
    assert not torch.equal(*later)


def test_several_moments_share_a_table():
    place, table = Prior(FEATURES, OPTIONS).at(torch.tensor([9, 1, 9]) * DAY)
    assert len(table) == 2
    assert torch.equal(table[place][0], table[place][2])
    assert not torch.equal(table[place][0], table[place][1])


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bpr"])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_training_scores_contain_the_prior_of_each_targets_day(loss, kind):
    known, given = Prior(FEATURES, OPTIONS), next(Batches(FEATURES.histories, 5).sequences(torch.Generator()))
    part = slice(1, 5)
    left, right = torch.randn(len(given.target), 4), torch.randn(3, 4)
    place, table = known.at(given.time)
    net = model(features=FEATURES)
    plain, trended = (
        sampler_of(net, kind, loss, logq=False, prior=prior)(given, torch.Generator().manual_seed(0))
        for prior in (None, known)
    )
    for i, (without, positive) in enumerate(
        zip(
            plain.scores(left, right[plain.items], part)[0],
            trended.scores(left, right[plain.items], part)[0],
            strict=True,
        )
    ):
        assert (positive - without).item() == pytest.approx(table[place[i + 1], given.target[i + 1]].item(), abs=1e-5)
    drawn = torch.arange(3) if LOSSES[loss].all_items else plain.items[plain.drawn]
    drawn = drawn.expand(len(given.target), drawn.shape[-1])[part]
    difference = trended.scores(left, right[plain.items], part)[1] - plain.scores(left, right[plain.items], part)[1]
    assert torch.allclose(difference, table[place[part]].gather(1, drawn), atol=1e-5)


def test_exported_scores_are_the_prior_and_weighted_parts_of_the_towers_score():
    """user_weight is 1/2: half of how a user's score differs from the mean user's. mean_weight is 1/4: a quarter of the
    mean user's score."""
    with_trend, without = (model(features=FEATURES, trend=enabled, bias=False) for enabled in (True, False))
    without.load_state_dict(with_trend.state_dict())
    both = (Ensemble([net]).matrices(FEATURES.histories) for net in (with_trend, without))
    (left, right), (plain_left, plain_right) = both
    common = plain_left.mean(0) @ plain_right.T
    personal = plain_left @ plain_right.T - common
    assert np.abs(personal).max() > 1e-3 < np.abs(common).max()
    prior = Prior(FEATURES, OPTIONS).serving().numpy()
    assert np.allclose(left @ right.T, 0.5 * personal + 0.25 * common + prior, atol=1e-5)


def test_auto_follows_the_split_and_a_trend_replaces_the_bias(monkeypatch):
    for split, expected in (("leave-last", False), ("days", True)):
        monkeypatch.setitem(FEATURES.spec, "split", split)
        net = model(features=FEATURES)
        assert (net.prior is not None) == expected
        assert (net.scorer.bias is None) == expected
    assert model(features=FEATURES, loss="triplet").prior is None


def test_windows_and_mix_go_together():
    with pytest.raises(ValueError, match="mix has 1 shares for 2 windows"):
        Trend(**section("trend", windows=[1, 7], mix=[1.0]))


def test_the_shared_batch_has_a_target_for_each_interaction():
    assert len(batch(features=FEATURES).target) == 6
