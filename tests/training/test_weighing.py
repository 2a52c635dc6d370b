"""The weights of popularity and of co-occurrence, chosen by held-out items."""

from retrieval.training.loop import fit, make_batches
from retrieval.training.weighing import POPULARITY, USUAL_WEIGHT, WEIGHTS, better, blended, lately, weigh

import numpy as np
import pytest
from worlds import features_of, training_params

PAIRS = 12


def pairs(users: int = 120, seed: int = 0):
    """Each user watches some pairs of items: first one item of each pair, then the others in another order."""
    random, sequences = np.random.default_rng(seed), []
    for _ in range(users):
        chosen = random.permutation(PAIRS)[:4]
        sequences.append([2 * pair for pair in chosen] + [2 * pair + 1 for pair in random.permutation(chosen)])
    return features_of(sequences, 2 * PAIRS)


def weighed(features, **changes) -> float:
    params = training_params(features, weight="auto", exclude_seen=True, **changes)
    return weigh(params, features, fit(params, features).model).cooccurrence.weight


@pytest.mark.parametrize("patience", [0, 5])
def test_untrained_towers_leave_all_to_what_is_watched_together(capsys, patience):
    """The last item is the partner of one of four: co-occurrence knows which."""
    assert weighed(pairs(), patience=patience, epochs=1, learning_rate=1e-6, regularization=1.0) == max(WEIGHTS)
    assert f"train_dssm: cooccurrence.weight={max(WEIGHTS)}: validation 0." in capsys.readouterr().err


def test_towers_that_know_better_leave_little_to_it():
    """The next item is the one after the last; what is watched together lies on both sides of it."""
    random = np.random.default_rng(0)
    starts = random.integers(24, size=400)
    ring = features_of([[int(start + i) % 24 for i in range(random.integers(4, 9))] for start in starts], 24)
    assert weighed(ring, history="gru", epochs=40) <= USUAL_WEIGHT


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_number_stays_and_holds_nothing_out(weight):
    features = pairs(10)
    params = training_params(features, weight=weight)
    assert weigh(params, features, model=None) is params
    assert len(make_batches(params, features).validation_users) == 0


def test_of_few_users_half_hold_out_their_last_items():
    features = pairs(10)
    assert len(make_batches(training_params(features, weight="auto"), features).validation_users) == 5
    assert len(make_batches(training_params(features, weight="auto", holdout=0.8), features).validation_users) == 8


def test_users_of_one_or_two_items_hold_out_none_and_get_the_usual_weight():
    features = features_of([[0, 1], [1, 2], [2]], 3)
    assert weighed(features, epochs=1) == USUAL_WEIGHT


def fashions(users: int = 200, seed: int = 0):
    """Users watch five of items 0 to 29 on days 0 to 9, and five of items 30 to 69 on days 10 to 19.

    An early item has 200 x 5 / 30 = 33 watches and a late one 25, so all of train puts early items first; the later
    half has late ones only.
    """
    random = np.random.default_rng(seed)
    chosen = [np.append(random.permutation(30)[:5], 30 + random.permutation(40)[:5]) for _ in range(users)]
    days = [np.sort(np.append(random.uniform(0, 10, 5), random.uniform(10, 20, 5))) for _ in range(users)]
    return features_of([items.tolist() for items in chosen], 70, days)


@pytest.mark.parametrize("weight", ["auto", 0.0, 0.1])
def test_recent_popularity_helps_untrained_towers_where_fashions_change(capsys, weight):
    features = fashions()
    changes = {"epochs": 1, "learning_rate": 1e-6, "exclude_seen": True}
    params = training_params(features, popularity="auto", weight=weight, **changes)
    found = weigh(params, features, fit(params, features).model)
    assert found.towers.popularity in POPULARITY[1:]
    assert f"train_dssm: towers.popularity={found.towers.popularity}: validation 0." in capsys.readouterr().err
    assert weight in ("auto", found.cooccurrence.weight)


def test_popularity_is_left_out_where_it_says_nothing():
    """Along a ring all items are watched alike, and the next one is what counts."""
    starts = np.random.default_rng(0).integers(24, size=400)
    ring = features_of([[int(start + i) % 24 for i in range(6)] for start in starts], 24)
    params = training_params(ring, popularity="auto", history="gru", epochs=40)
    assert weigh(params, ring, fit(params, ring).model).towers.popularity == 0


def test_popularity_counts_the_later_half_of_the_interactions():
    """Days 0 to 3 and 1 to 4: the median of 0, 1, 1, 2, 2, 3, 3, 4 is 2, and 2, 2, 3, 3, 4 are not before it. They have
    item 2, 1, 3, 0 and 3."""
    features = features_of([[0, 1, 2, 3], [2, 1, 0, 3]], 5, [[0, 1, 2, 3], [1, 2, 3, 4]])
    assert lately(features.histories, 5) == pytest.approx(np.log([2, 2, 2, 3, 1]))
    assert lately(features_of([], 3).histories, 3).tolist() == [0, 0, 0]


def test_the_biases_gain_the_weight_times_the_logarithm():
    """Of rings each item has the same bias before; here item 0 has two late watches, item 1 one and item 2 none."""
    features = features_of([[2, 0], [2, 0], [2, 1]], 3)
    scores = {}
    for popularity in (0.0, 0.5):
        params = training_params(features, popularity=popularity, epochs=1, precision="float64")
        _, found = blended(params, features, fit(params, features).model)
        scores[popularity] = found.left.astype(float) @ found.right.astype(float).T
    expected = 0.5 * np.log([3, 2, 1])
    assert scores[0.5] - scores[0.0] == pytest.approx(np.tile(expected, (3, 1)), abs=1e-3)


def test_the_usual_stays_unless_another_gains_more_than_a_standard_error():
    """Two users gain 0.1 and 0.3, 0.2 in the mean with a standard error of 0.1 / sqrt(2); or 0.5 and -0.1, as much in
    the mean with one of 0.3 / sqrt(2)."""
    usual, sure, unsure = [1.0, 1.0], [1.1, 1.3], [1.5, 0.9]
    assert better(np.array([usual, sure]), 0) == 1
    assert better(np.array([usual, unsure]), 0) == 0
    assert better(np.array([sure, usual]), 1) == 0


def test_a_gain_of_a_twentieth_is_not_enough_unless_it_is_clear():
    """Half of the users gain nothing and half twice the mean, so the deviation equals the mean: that of 2 users is
    1.4 standard errors, of 8 users 2.8, and of 10 users 3.2."""
    for mean, users, chosen in ((0.049, 2, 0), (0.051, 2, 1), (0.03, 8, 0), (0.03, 10, 1)):
        usual = np.ones(users)
        assert better(np.array([usual, usual + 2 * mean * (np.arange(users) % 2)]), 0) == chosen
