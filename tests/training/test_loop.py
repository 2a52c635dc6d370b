"""Training: it learns what was planted, the same way each time, in bounded memory, and never from held-out items."""

import json

from retrieval.dssm.batches import Batches
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.ensemble import Ensemble
from retrieval.dssm.model import DSSM
from retrieval.dssm.scoring import WEIGHT_BITS
from retrieval.errors import Problem
from retrieval.matrices import grid_step
from retrieval.training.loop import fit, make_batches, validate
from retrieval.training.losses import LOSSES, Loss

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from worlds import chain, features_of, model, rows, trained, training_params


def train(features, **changes):
    return trained(features, **{"length": 12, "width": 16} | changes)


def hit_rate(net, features) -> float:
    """Share of the users whose next item on the ring scores highest."""
    left, right = net.matrices(features.histories)
    last = features.histories.item[features.histories.indptr[1:] - 1]
    return float(np.mean((left @ right.T).argmax(1) == (last + 1) % net.count))


RING = chain(users=300, items=20, length=8, seed=0)


@pytest.mark.parametrize("history", ["gru", "transformer"])
def test_sequence_encoders_learn_order_where_a_bag_cannot(history):
    """The next item is the last one's neighbour. Eight in a row, without their order, leave two candidates at best,
    the item after the last and the one before the first: a bag that knows that is right in half of the cases."""
    assert hit_rate(train(RING, history=history, item="id")[0], RING) > 0.95


def _hinge(positive, negatives, mask):
    return torch.relu(1 - positive[:, None] + negatives).where(mask, 0).sum(1).mean()


def _wide(sizes):
    return nn.Sequential(nn.Linear(sizes.width, sizes.width), nn.Tanh()), nn.Tanh()


class _Last(nn.Module):
    """The last item's vector alone."""

    def __init__(self, sizes):
        super().__init__()
        self.empty = nn.Parameter(torch.zeros(sizes.width))

    def forward(self, table, batch):
        last = batch.item[(batch.start[batch.row] + batch.column - 1).clamp(min=0)]
        return torch.where((batch.column > 0)[:, None], table[last], self.empty)


@pytest.mark.parametrize(
    ("table", "entry", "key"),
    [(LOSSES, Loss(_hinge), "loss"), (ARCHITECTURES, _wide, "architecture"), (HISTORIES, _Last, "history")],
)
def test_a_new_loss_body_or_encoder_takes_one_registration(monkeypatch, table, entry, key):
    """Its name is a valid value of params.yaml and it trains, ranks and learns the ring like any other."""
    with pytest.raises(Problem, match="mine"):
        train(RING, **{"history": "gru", "item": "id", key: "mine"})
    monkeypatch.setitem(table, "mine", entry)
    assert hit_rate(train(RING, **{"history": "gru", "item": "both", key: "mine"})[0], RING) > 0.9


def test_a_bag_does_not_learn_order():
    assert hit_rate(train(RING, history="bag", item="id")[0], RING) < 0.7


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("targets", ["sequence", "one"])
def test_every_loss_learns(loss, targets):
    """Two groups that like five items each: the five that score highest are those of the user's group."""
    rng = np.random.default_rng(0)
    features = features_of([(5 * (u % 2) + rng.permutation(5)[:4]).tolist() for u in range(200)], 10)
    epochs = 30 if targets == "sequence" else 100
    net, history = train(features, loss=loss, targets=targets, epochs=epochs, batch=64, item="id")
    left, right = net.matrices(features.histories)
    best = np.argsort(-(left @ right.T), axis=1)[:, :5]
    assert np.mean(best // 5 == np.arange(200)[:, None] % 2) > 0.9
    assert history[-1]["loss"] < history[0]["loss"]
    assert [line["epoch"] for line in history] == list(range(1, len(history) + 1))


def test_a_sample_that_stands_for_the_catalogue_teaches_the_same():
    """Six items drawn, and the targets of a batch of sixteen: at most 22 of 100 items, which stand for all of them.
    Without its correction an untrained model would start at log(22) = 3.1 in place of log(100) = 4.6."""
    ring = chain(users=600, items=100, length=8, seed=0)
    settings = {"history": "gru", "item": "id", "batch": 16}
    net, history = train(ring, **settings, epochs=3, shared=6)
    every = train(ring, **settings, epochs=1)[1]
    assert hit_rate(net, ring) > 0.8
    assert history[0]["loss"] == pytest.approx(every[0]["loss"], rel=0.05)


def test_equal_seeds_give_equal_bytes():
    settings = {"architecture": "layernorm", "dropout": 0.3, "id_dropout": 0.3, "history": "gru", "loss": "bpr"}
    settings |= {"epochs": 2, "average": 0.9, "batch": 4096}  # enough for several threads to share a sum
    runs = [train(RING, seed=seed, **settings) for seed in (1, 1, 2)]
    states = [net.state_dict() for net, _ in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])
    assert json.dumps(runs[0][1]) == json.dumps(runs[1][1])


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_weights_are_on_the_grid_in_the_precision_of_the_training(precision):
    net, _ = train(RING, history="gru", epochs=1, precision=precision)
    assert {weight.dtype for weight in net.parameters()} == {torch.float64}
    assert torch.get_default_dtype() == torch.float32
    for name, weight in net.named_parameters():
        steps = weight.detach().double() / grid_step(weight.abs().max().item(), WEIGHT_BITS)
        assert torch.equal(steps, steps.round()), name


def test_float32_learns_what_float64_learns():
    """Every draw but that of the first weights is the same; the losses differ by the precision and by those weights."""
    exact, quick = (train(RING, history="gru", item="id", precision=p)[1][-1]["loss"] for p in ("float64", "float32"))
    assert exact != quick
    assert quick == pytest.approx(exact, abs=0.05)


def test_in_bfloat16_it_learns_the_same():
    net, history = train(RING, history="gru", item="id", precision="bfloat16")
    exact = train(RING, history="gru", item="id", precision="float32")[1]
    assert history[0]["loss"] != exact[0]["loss"]
    assert history[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.01)
    assert hit_rate(net, RING) > 0.95


@pytest.mark.slow
def test_compiled_towers_learn_the_same():
    """Fused kernels add in another order, no more; and the weights keep their names."""
    compiled, history = train(RING, history="bag", epochs=2, compile=True)
    plain, expected = train(RING, history="bag", epochs=2)
    assert [line["loss"] for line in history] == pytest.approx([line["loss"] for line in expected], rel=1e-4)
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_patience_stops_and_gives_back_the_best_epoch(monkeypatch):
    """Random histories hold nothing to learn: the weights go back to the epoch whose validation was best."""
    rng = np.random.default_rng(0)
    features = features_of([rng.permutation(30)[:8].tolist() for _ in range(60)], 30)
    monkeypatch.setattr(DSSM, "snap", lambda self: None)  # whose rounding validation would see
    changes = {"epochs": 60, "patience": 3, "holdout": 0.5, "learning_rate": 0.03, "history": "gru", "item": "id"}
    net, history = train(features, **changes)
    values = [line["validation"] for line in history]
    best = int(np.argmax(values))
    assert len(history) == best + 1 + 3 < 60
    batches = make_batches(training_params(features, seed=1, length=12, **changes), features)
    assert len(batches.validation_users) == 30
    assert validate(net, batches) == pytest.approx(values[best], rel=1e-6)


def test_a_judge_compares_epochs_in_place_of_held_out_items(monkeypatch):
    """By 1, 3, 2 and 3 the second epoch is the best one and, with a patience of 2, the fourth the last."""
    monkeypatch.setattr(DSSM, "snap", lambda self: None)
    values, biases = iter([1.0, 3.0, 2.0, 3.0]), []

    def judge(net):
        biases.append(net.scorer.bias.clone())
        return next(values)

    params = training_params(RING, epochs=9, patience=2, holdout=0.5)
    params = params.model_copy(update={"train": params.train.model_copy(update={"holdout": 0.0})})
    assert not len(make_batches(params, RING).validation_users)
    net, history, _ = fit(params, RING, judge=judge)
    assert [line["validation"] for line in history] == [1, 3, 2, 3]
    assert torch.equal(net.members[0].scorer.bias, biases[1])
    assert not torch.equal(biases[1], biases[3])


def test_validation_is_the_mean_reciprocal_rank_of_the_held_out_items():
    features = features_of([[0, 1, 2, 3], [4, 5, 6], [7, 1, 0, 2, 5], [3, 9, 8]], 12)
    sampler = Batches(features.histories, 5, 2, torch.tensor([True, False, True, True]))
    net = model(features=features)
    shorter = features_of([[0, 1, 2], [4, 5], [7, 1, 0, 2], [3, 9]], 12)
    left, right = Ensemble([net]).matrices(shorter.histories)
    ranks = []
    for user, target in ((0, 3), (2, 5), (3, 8)):
        scores = left[user] @ right.T
        watched = shorter.histories.item[shorter.histories.indptr[user] : shorter.histories.indptr[user + 1]]
        ranks.append(1 + sum(scores[i] > scores[target] for i in range(12) if i not in watched and i != target))
    assert validate(net, sampler) == pytest.approx(np.mean([1 / rank for rank in ranks]))


def test_validation_allocates_no_second_block_of_scores(monkeypatch):
    """At KION's size 400 blocks of 2 and of 17 MB came and went, and malloc kept 5 GB of them: one buffer is reused."""
    monkeypatch.setattr("retrieval.training.candidates.CHUNK", 4_000)  # ten targets at once, of 400 items
    features = chain(users=300, items=400, length=4, seed=0)
    net = model(features=features, width=4)
    sampler = Batches(features.histories, 4, 100, torch.ones(300, dtype=torch.bool), exclude_seen=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        validate(net, sampler)
    blocks = [event.self_cpu_memory_usage for event in profiled.events() if event.self_cpu_memory_usage >= 4 * 4_000]
    assert len(blocks) == 1


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("loss", ["softmax", "bpr", "triplet", "gbce"])
def test_a_training_that_diverges_to_finite_numbers_is_refused(history, loss):
    with pytest.raises(Problem, match=r"diverged: the loss of the trained model is .*; lower train.learning_rate=10.0"):
        train(RING, history=history, loss=loss, epochs=2, learning_rate=10.0)


def test_a_training_stops_at_the_first_epoch_that_is_not_finite():
    params = training_params(RING, loss="bpr", precision="float32", epochs=50, learning_rate=1e30)
    with pytest.raises(Problem, match=r"^the loss of epoch 1 is nan: .*; lower train.learning_rate=1e\+30$"):
        fit(params, RING)


def test_scores_that_overflow_before_the_first_step_are_not_the_learning_rates_fault():
    with pytest.raises(Problem, match=r"the loss before the first step is .*; check towers\.temperature"):
        train(RING, loss="bpr", history="bag", temperature=1e-300, precision="float32")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("history", HISTORIES)
def test_a_normal_training_is_not_suspicious(history, loss):
    changes = {"history": history, "loss": loss, "width": 16, "length": 8, "item": "both"}
    for more in ({"epochs": 1, "learning_rate": 0.003}, {"epochs": 4, "average": 0.9, "dropout": 0.3}):
        assert fit(training_params(RING, **changes | more), RING).warnings == []


def test_a_model_that_has_diverged_validates_worst():
    """Rank 12 of 12 for every held-out item, and not the first place that comparisons with NaN would give."""
    features = features_of([[0, 1, 2, 3], [4, 5, 6]], 12)
    sampler = Batches(features.histories, 5, 2, torch.tensor([True, True]))
    net = model(features=features)
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(float("nan"))
    assert validate(net, sampler) == pytest.approx(1 / 12)


def test_without_patience_nothing_is_held_out():
    assert len(make_batches(training_params(RING), RING).validation_users) == 0


def test_all_users_can_hold_out_their_last_item():
    """As in papers: each last item is a target of validation only, and part of the history that the test is given."""
    features = features_of([[0, 1, 2, 3], [4, 5, 6], [7, 1, 0]], 8)
    batches = make_batches(training_params(features, patience=2, holdout=1.0), features)
    trained_on = [target for batch in batches.sequences(torch.Generator()) for _, _, target in rows(batch)]
    assert sorted(trained_on) == [0, 1, 1, 2, 4, 5, 7]
    assert sorted(target for batch in batches.validation() for _, _, target in rows(batch)) == [0, 3, 6]
    assert sorted(batch.item.numel() for batch in batches.whole()) == [10]


def test_an_epoch_without_a_target_is_harmless():
    """The one item that is not a thousand years old is the only user's who has three, and held out."""
    features = features_of([[0, 1, 2], [1], [2]], 3, [[0, 0, 365_000], [0], [0]])
    history = train(features, epochs=2, recency=1.0, holdout=0.9, patience=2)[1]
    assert [line["loss"] for line in history] == [0, 0]


def test_recency_halves_the_chance_with_the_days():
    features = features_of([[0, 1, 2]], 3, [[0, 10, 20]])
    assert make_batches(training_params(features, recency=10.0), features).chance.tolist() == [0.25, 0.5, 1.0]


def test_an_empty_history_still_has_a_vector():
    """That of their features: users 0 and 2 have the same, and another one than user 1, who has a history."""
    features = features_of([[], [1, 2], []], 3)
    for history in HISTORIES:
        left, _ = train(features, history=history, epochs=1)[0].matrices(features.histories)
        assert np.isfinite(left).all()
        assert np.allclose(left[0], left[2], atol=1e-6)
        assert not np.allclose(left[0], left[1], atol=1e-3)
