"""The weight of co-occurrence, chosen by held-out items."""

from retrieval.training.loop import fit, make_batches
from retrieval.training.weighing import USUAL_WEIGHT, WEIGHTS, weigh

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
