"""Pictures are drawn for odd data too, and their bytes depend on the data alone."""

from collections.abc import Callable
from pathlib import Path

from retrieval.evaluation.pictures import draw_intervals, draw_map, draw_scores

import matplotlib.image
import numpy as np
import pytest

BARS = {name: {"map@10": {"mean": m, "low": m - 0.01, "high": m + 0.01}} for name, m in (("a", 0.05), ("dssm", 0.1))}
NOTHING = {"map@10": {"mean": 0.0, "low": 0.0, "high": 0.0}}
SERIES = [{"score": x, "test_watched": 0.1, "test_other": 0.2, "train_watched": 0, "train_other": 1} for x in (1, 2)]
POINTS = np.random.default_rng(0).normal(0, 1, (30, 2))
KINDS = ("genre", np.array([f"kind {n % 9}" for n in range(30)]))
AMOUNT = ("popularity", "users", np.arange(1, 31))
LABELS = np.array(["Movie $1^$", "Кин-дза-дза!", "$$$", "Дом_2"])

DRAW: dict[str, Callable[[Path], None]] = {
    "intervals": lambda path: draw_intervals(path, BARS, "map@10", "dssm"),
    "scores": lambda path: draw_scores(path, {"dssm": SERIES, "ials": SERIES}),
    "map": lambda path: draw_map(path, "Items", POINTS, KINDS, AMOUNT, LABELS),
    "no hit": lambda path: draw_intervals(path, {"a": NOTHING}, "map@10", "a"),
    "one point": lambda path: draw_map(path, "", POINTS[:1], ("", ["unknown"]), ("", "", np.array([3])), LABELS),
    "one place": lambda path: draw_map(path, "", POINTS[[0, 0]], ("", ["a", "a"]), ("", "", np.array([1, 1])), LABELS),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAW)
def test_equal_bytes(name: str, tmp_path: Path) -> None:
    DRAW[name](tmp_path / "new" / "first.png")
    DRAW[name](tmp_path / "second.png")
    first = (tmp_path / "new" / "first.png").read_bytes()
    assert first == (tmp_path / "second.png").read_bytes()
    assert b"Software" not in first
    image = matplotlib.image.imread(tmp_path / "second.png")
    assert image.std() > 0.02  # not blank
