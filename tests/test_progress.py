"""Signs of life: a bar on a terminal, lines elsewhere; with a clock that the tests move."""

import io
import json
import sys
from pathlib import Path

from retrieval import progress as module
from retrieval.progress import Epochs, clock, progress

import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only place."""
    time = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


def test_a_pass_says_every_thirty_seconds_how_far_it_is(now, capsys):
    with progress("rank", 1_000, "users") as advance:
        for _ in range(10):
            now[0] += 20
            advance(100, "loss=1.0")
    assert capsys.readouterr().err.splitlines() == [
        "rank: 20 % of 1,000 users, loss=1.0, 2 min 40 s left",
        "rank: 40 % of 1,000 users, loss=1.0, 2 min 0 s left",
        "rank: 60 % of 1,000 users, loss=1.0, 1 min 20 s left",
        "rank: 80 % of 1,000 users, loss=1.0, 40 s left",
    ]


def test_a_short_or_hidden_pass_says_nothing(now, capsys):
    for hidden, seconds in ((False, 2), (True, 2_000)):
        with progress("rank", 10, "users", hidden=hidden) as advance:
            for _ in range(10):
                now[0] += seconds
                advance(1)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_it_is_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("rank", 10, "users") as advance:
        advance(10, "loss=0.5")
    assert "rank: 100%" in sys.stderr.getvalue()
    assert "loss=0.5" in sys.stderr.getvalue()
    Epochs(2)([{"epoch": 1, "loss": 0.5}])
    assert "epoch 1/2" not in sys.stderr.getvalue()


def test_each_epoch_is_a_line_with_the_time_left(now, capsys, tmp_path: Path):
    lines, tell = [{"epoch": 1, "loss": 2.0}], Epochs(4, tmp_path / "live.json")  # one epoch of a run that was killed
    for seconds, validation in ((10, 0.25), (30, 0.5), (20, 0.5)):
        now[0] += seconds
        lines.append({"epoch": len(lines) + 1, "loss": 1.5, "validation": validation})
        tell(lines)
        assert json.loads((tmp_path / "live.json").read_text(encoding="utf-8")) == lines
    assert capsys.readouterr().err.splitlines() == [
        "epoch 2/4: loss 1.5000, validation 0.2500, 10 s, 20 s left",
        "epoch 3/4: loss 1.5000, validation 0.5000, 30 s, 20 s left",
        "epoch 4/4: loss 1.5000, validation 0.5000, 20 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.26, "0.3 s"), (42.4, "42 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (3_900, "1 h 5 min")],
)
def test_times_are_in_words(seconds: float, text: str):
    assert clock(seconds) == text
