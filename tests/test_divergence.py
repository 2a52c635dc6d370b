"""Whether a training diverged: each rule on both sides of its limit."""

import math

from retrieval.divergence import check_epoch, check_start, flagged, verdict
from retrieval.errors import Problem

import pytest

RATE = "train.learning_rate=10.0"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_epoch_and_the_parameter(loss: float) -> None:
    with pytest.raises(Problem, match=rf"^the loss of epoch 3 is {loss}: .* diverged; lower train.learning_rate=10.0$"):
        check_epoch(3, loss, RATE)
    with pytest.raises(Problem, match=r"before the first step is .*; check towers\.temperature"):
        check_start(loss)
    check_epoch(3, 1e300, RATE)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 20.1])
def test_ten_times_the_loss_of_an_untrained_model_is_refused(loss: float) -> None:
    with pytest.raises(Problem, match=r"of the trained model is .*, that of an untrained one 2; lower train"):
        verdict(loss, 2.0, 1000, RATE, 1.0)


def test_twice_the_loss_of_an_untrained_model_is_said() -> None:
    assert verdict(4.0, 2.0, 1000, RATE, 1.0) == []
    assert verdict(4.1, 2.0, 1000, RATE, 1.0) == [
        "the loss of the trained model is 4.1, that of an untrained one 2; train.learning_rate=10.0 may be too high"
    ]


def test_large_weights_are_said_and_huge_ones_refused() -> None:
    assert verdict(1.0, 2.0, 1000, RATE, 999.0) == []
    assert "the largest weight is 1e+05" in verdict(1.0, 2.0, 1000, RATE, 1e5)[0]
    for weight in (1e7, math.inf, math.nan):
        with pytest.raises(Problem, match="its largest weight is"):
            verdict(1.0, 2.0, 1000, RATE, weight)


def test_a_curve_that_rose_is_said() -> None:
    assert verdict(1.0, 2.0, 1000, RATE, 1.0, [1.5, 0.9, 1.8]) == []
    assert "the loss rose from 0.9 in epoch 2 to 2 in epoch 3" in verdict(1.0, 2.0, 1000, RATE, 1.0, [1.5, 0.9, 2.0])[0]


def test_the_loss_of_few_targets_is_noise() -> None:
    assert verdict(4.1, 2.0, 99, RATE, 1.0) == []
    with pytest.raises(Problem):
        verdict(20.1, 2.0, 99, RATE, 1.0)


def test_a_loss_of_nothing_is_no_divergence() -> None:
    assert verdict(1e-9, 0.0, 1000, RATE, 1.0) == []


def test_warnings_are_printed_and_in_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert flagged("train_dssm", []) == {}
    assert flagged("train_dssm", ["odd"]) == {"warnings": ["odd"]}
    assert capsys.readouterr().err == "train_dssm: warning: odd\n"
