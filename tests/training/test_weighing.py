"""The weight of co-occurrence, chosen by held-out items."""

from retrieval.training.loop import fit
from retrieval.training.weighing import WEIGHTS, weigh

import numpy as np
import pytest
from worlds import features_of, training_params

PAIRS = 12


def pairs(users: int = 120, seed: int = 0):
    """Each user watches some pairs of items, one item of each pair first: in the end, the rest in the same order."""
    random, sequences = np.random.default_rng(seed), []
    for _ in range(users):
        chosen = random.permutation(PAIRS)[:4]
        sequences.append([2 * pair for pair in chosen] + [2 * pair + 1 for pair in random.permutation(chosen)])
    return features_of(sequences, 2 * PAIRS)


def chosen_weight(features, **changes):
    params = training_params(features, patience=5, holdout=0.5, weight="auto", exclude_seen=True, **changes)
    return weigh(params, features, fit(params, features).model).cooccurrence.weight


def test_untrained_towers_leave_all_to_what_is_watched_together(capsys):
    """The last item is the partner of one of four, which the others of the history do not say: co-occurrence does."""
    assert chosen_weight(pairs(), epochs=1, learning_rate=1e-6, regularization=1.0) == max(WEIGHTS)
    assert f"train_dssm: cooccurrence.weight={max(WEIGHTS)}: validation 0." in capsys.readouterr().err


def test_where_nothing_is_watched_together_it_weighs_nothing():
    random = np.random.default_rng(0)
    noise = features_of([list(random.permutation(24)[:8]) for _ in range(120)], 24)
    assert chosen_weight(noise, epochs=1) == 0


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_number_stays(weight):
    features = pairs(10)
    params = training_params(features, weight=weight)
    assert weigh(params, features, model=None) is params


def test_without_held_out_items_it_is_a_tenth():
    params = training_params(pairs(10), weight="auto", patience=0)
    assert params.cooccurrence.weight == 0.1
