"""Pictures show the right numbers, names and colours, keep texts inside, and have equal bytes for equal data."""

from collections.abc import Callable
from pathlib import Path

from retrieval.drawing.pictures import COLOURS, GREY, LONGEST, draw_intervals, draw_map, draw_scores, shorten

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure


def bar(mean: float, low: float, high: float) -> dict[str, dict[str, float]]:
    return {"map@10": {"mean": mean, "low": low, "high": high}}


BARS = {"popular": bar(0.02, 0.01, 0.03), "dssm": bar(0.1, 0.08, 0.13), "ials": bar(0.05, 0.045, 0.056)}
SERIES = [
    {"score": 1.0, "test_watched": 0.1, "test_other": 0.9, "train_watched": 0.2, "train_other": 0.8},
    {"score": 2.0, "test_watched": 0.6, "test_other": 0.4, "train_watched": 0.7, "train_other": 0.3},
]
POINTS = np.random.default_rng(0).normal(0, 1, (45, 2)) * [2, 1]
KINDS = np.repeat([f"kind {n}" for n in range(9)], np.arange(1, 10))  # kind 8 is the most frequent, 9 of 45
AMOUNT = ("popularity", "users per item", np.random.default_rng(1).permutation(45) + 1)
TITLES = np.array(["Movie $1^$", "Кин-дза-дза!", "$$$", "Дом_2"])  # TeX's characters are plain text here


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved while the test runs."""
    saved: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (saved.append(self), save(self, *args, **kw)))
    return saved


def is_inside(figure: Figure) -> bool:
    """Whether everything that is drawn, text as well, lies inside the figure."""
    box, frame = figure.get_tightbbox(), figure.bbox_inches
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= frame.x1 and box.y1 <= frame.y1


def test_intervals_have_a_row_per_model_the_best_on_top(tmp_path: Path, figures: list[Figure]) -> None:
    draw_intervals(tmp_path / "a.png", BARS, "map@10", "dssm")
    (axes,) = figures[0].axes
    names = ["popular", "ials", "dssm"]  # from the bottom up
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert axes.get_yticks().tolist() == [0, 1, 2]
    assert axes.get_ylim()[0] < 0 < 2 < axes.get_ylim()[1]
    for place, (name, bars) in enumerate(zip(names, axes.containers, strict=True)):
        expected = BARS[name]["map@10"]
        (point, (lower, upper), _) = bars.lines
        assert point.get_xydata().tolist() == [[expected["mean"], place]]
        assert lower.get_xydata().ravel() == pytest.approx([expected["low"], place])
        assert upper.get_xydata().ravel() == pytest.approx([expected["high"], place])
    assert axes.get_title() == "MAP@10 and its 95 % bootstrap interval"
    assert axes.get_xlabel() == "mean over the test users, items new to the user"
    assert axes.get_xlim()[0] == 0


def test_each_interval_is_labelled_with_its_mean_beside_its_end(tmp_path: Path, figures: list[Figure]) -> None:
    draw_intervals(tmp_path / "a.png", BARS, "map@10", "dssm")
    (axes,) = figures[0].axes
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        ("0.0200", (0.03, 0)),
        ("0.0500", (0.056, 1)),
        ("0.1000", (0.13, 2)),
    ]
    frame = axes.get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert frame.x0 < box.x0
        assert box.x1 <= frame.x1
    assert is_inside(figures[0])


@pytest.mark.parametrize("highlight", BARS)
def test_the_highlighted_model_alone_has_another_colour(tmp_path: Path, figures: list[Figure], highlight: str) -> None:
    draw_intervals(tmp_path / "a.png", BARS, "map@10", highlight)
    (axes,) = figures[0].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    colours = {name: bars.lines[0].get_color() for name, bars in zip(names, axes.containers, strict=True)}
    assert colours == {name: COLOURS[4] if name == highlight else COLOURS[0] for name in BARS}
    assert COLOURS[4] != COLOURS[0]


def test_scores_have_a_row_per_model_and_a_curve_per_kind(tmp_path: Path, figures: list[Figure]) -> None:
    doubled = [{name: 2 * value for name, value in row.items()} for row in SERIES]
    draw_scores(tmp_path / "a.png", {"dssm": SERIES, "ials": doubled})
    grid = figures[0].axes
    titles = ["dssm, test", "dssm, train", "ials, test", "ials, train"]
    assert [axes.get_title() for axes in grid] == titles
    for axes, factor in zip(grid, (1, 1, 2, 2), strict=True):
        period = axes.get_title().split(", ")[1]
        curves = {line.get_label(): line for line in axes.lines}
        assert list(curves) == ["other items", "the user's items"]
        for label, kind, colour in (("other items", "other", COLOURS[0]), ("the user's items", "watched", COLOURS[4])):
            points = [[factor * row["score"], factor * row[f"{period}_{kind}"]] for row in SERIES]
            assert curves[label].get_xydata().tolist() == points
            assert curves[label].get_color() == colour
        assert axes.get_xlabel() == "score"
        assert axes.get_ylim()[0] == 0
    assert [axes.get_ylabel() for axes in grid] == ["density", "", "density", ""]
    (legend,) = figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["other items", "the user's items"]
    assert figures[0].get_suptitle() == "Scores of the users' items in test and train, and of random other items"
    assert is_inside(figures[0])


def dots(axes: Axes) -> list[PathCollection]:
    return [each for each in axes.collections if isinstance(each, PathCollection)]


def test_a_map_colours_the_most_frequent_kinds(tmp_path: Path, figures: list[Figure]) -> None:
    draw_map(tmp_path / "a.png", "Items", POINTS, ("genre", KINDS), AMOUNT)
    left = figures[0].axes[0]
    names = ["other", *(f"kind {n}" for n in range(2, 9))]  # kinds 0 and 1 are the two rarest of nine
    assert [text.get_text() for text in left.get_legend().get_texts()] == names
    assert [to_hex(each.get_facecolor()[0]).upper() for each in dots(left)] == [GREY, *COLOURS]
    for name, each in zip(names, dots(left), strict=True):
        members = np.isin(KINDS, ["kind 0", "kind 1"]) if name == "other" else name == KINDS
        np.testing.assert_array_equal(each.get_offsets(), POINTS[members])
    assert left.get_title() == "by genre"
    assert figures[0].get_suptitle() == "Items"


def test_a_map_shows_the_amount_on_a_log_scale_the_largest_on_top(tmp_path: Path, figures: list[Figure]) -> None:
    draw_map(tmp_path / "a.png", "Items", POINTS, ("genre", KINDS), AMOUNT)
    _, right = figures[0].axes
    (scale,) = right.child_axes
    (each,) = dots(right)
    np.testing.assert_allclose(each.get_array(), np.log10(np.arange(1, 46)), atol=1e-6)  # the largest is drawn last
    np.testing.assert_array_equal(each.get_offsets(), POINTS[np.argsort(AMOUNT[2])])
    assert right.get_title() == "by popularity"
    assert scale.get_xlabel() == "users per item"
    ticks = [text.get_text() for text in scale.get_xticklabels()]
    assert {"1", "2", "5", "10", "20"} <= set(ticks)
    assert is_inside(figures[0])


@pytest.mark.parametrize(("wide", "high"), [(10, 10), (10, 6), (10, 1), (6, 10), (0, 0)])
def test_a_map_fills_its_frames(tmp_path: Path, figures: list[Figure], wide: float, high: float) -> None:
    """Equal scales of both axes; 4 % of room around the points, and a frame at least half as high as wide."""
    points = np.random.default_rng(0).random((30, 2))
    points = (points - points.min(axis=0)) / np.ptp(points, axis=0) * [wide, high] + 3
    draw_map(tmp_path / "a.png", "Items", points, ("genre", ["a"] * 30), (*AMOUNT[:2], np.arange(1, 31)))
    long, short = max(wide, high), min(wide, high)
    for axes in figures[0].axes:
        (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
        assert axes.bbox.height / axes.bbox.width == pytest.approx((y1 - y0) / (x1 - x0))
        if long:
            assert x1 - x0 == pytest.approx(1.08 * long)
            assert y1 - y0 == pytest.approx(1.08 * max(short, long / 2))
        drawn = np.concatenate([each.get_offsets() for each in dots(axes)])
        np.testing.assert_allclose(drawn.min(axis=0) + drawn.max(axis=0), [x0 + x1, y0 + y1])
        assert all(spine.get_visible() for spine in axes.spines.values())
    left, right = (axes.bbox for axes in figures[0].axes)
    assert (left.y0, left.y1, left.width) == (right.y0, right.y1, right.width)
    assert left.width + right.width > 0.95 * figures[0].bbox.width
    assert is_inside(figures[0])


@pytest.mark.parametrize("length", [3, 12, 25, 300])
def test_a_legend_is_as_wide_as_its_map_at_most(tmp_path: Path, figures: list[Figure], length: int) -> None:
    names = [f"{number} {'longer ' * 50}"[:length] for number in range(9)]
    draw_map(tmp_path / "a.png", "Items", POINTS, ("genre", np.array(names)[np.arange(45) % 9]), AMOUNT, TITLES)
    axes = figures[0].axes[0]
    box = axes.get_legend().get_window_extent()
    assert box.width <= axes.bbox.width
    assert box.y0 >= 0
    assert is_inside(figures[0])


def test_labels_are_on_their_points_in_plain_text(tmp_path: Path, figures: list[Figure]) -> None:
    points = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0], [1.0, 0.5], [4.0, 3.0]])
    draw_map(tmp_path / "a.png", "", points, ("", ["a"] * 5), ("", "", np.arange(1, 6)), TITLES)
    for axes in figures[0].axes[:2]:
        assert [text.get_text() for text in axes.texts] == TITLES.tolist()
        assert [text.xy for text in axes.texts] == [tuple(point) for point in points[:4]]
        assert not any(text.get_parse_math() for text in axes.texts)


def test_labels_that_overlap_or_leave_the_axes_are_left_out(tmp_path: Path, figures: list[Figure]) -> None:
    points = np.array([[0.0, 0.0], [0.001, 0.0], [1.0, 1.0], [0.2, 0.8]])
    titles = ["first", "over the first", "at the right edge, far too long to fit into the axes " * 3, "alone"]
    draw_map(tmp_path / "a.png", "", points, ("", ["a"] * 4), ("", "", np.arange(1, 5)), titles)
    for axes in figures[0].axes[:2]:
        assert [text.get_text() for text in axes.texts] == ["first", "alone"]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Film", "Film"),
        ("f" * 40, "f" * 40),
        ("f" * 50_000, "f" * 39 + "…"),
        (" two\n\r\tlines\x00\x1b ", "two lines"),
        ("\n" * 50_000 + "f", ""),
        ("", ""),
    ],
)
def test_texts_are_one_short_line(text: str, short: str) -> None:
    assert shorten(text) == short
    assert len(short) <= LONGEST


def test_all_labels_of_a_full_map_fit(tmp_path: Path, figures: list[Figure]) -> None:
    titles = [f"A film with a long title, number {n}" for n in range(45)]
    draw_map(tmp_path / "a.png", "Items", POINTS, ("genre", KINDS), AMOUNT, titles)
    for axes in figures[0].axes[:2]:
        frame = axes.get_window_extent()
        boxes = [text.get_window_extent() for text in axes.texts]
        assert 3 < len(boxes) < 45
        assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
        assert all(frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
        assert not any(box.overlaps(other) for n, box in enumerate(boxes) for other in boxes[:n])


DRAW: dict[str, Callable[[Path], None]] = {
    "intervals": lambda path: draw_intervals(path, BARS, "map@10", "dssm"),
    "scores": lambda path: draw_scores(path, {"dssm": SERIES, "ials": SERIES}),
    "map": lambda path: draw_map(path, "Items", POINTS, ("genre", KINDS), AMOUNT, TITLES),
    "no hit": lambda path: draw_intervals(path, {"a": bar(0, 0, 0)}, "map@10", "a"),
    "one point": lambda path: draw_map(path, "", POINTS[:1], ("", ["unknown"]), ("", "", np.array([3])), TITLES),
    "one place": lambda path: draw_map(path, "", POINTS[[0, 0]], ("", ["a", "a"]), ("", "", np.array([1, 1])), TITLES),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAW)
def test_equal_data_give_equal_bytes(name: str, tmp_path: Path) -> None:
    DRAW[name](tmp_path / "new" / "first.png")
    DRAW[name](tmp_path / "second.png")
    first = (tmp_path / "new" / "first.png").read_bytes()
    assert first == (tmp_path / "second.png").read_bytes()
    assert b"Software" not in first


def test_no_hits_at_all_still_have_an_axis(tmp_path: Path, figures: list[Figure]) -> None:
    draw_intervals(tmp_path / "a.png", {"a": bar(0, 0, 0)}, "map@10", "a")
    assert figures[0].axes[0].get_xlim() == (0, 1)
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["0.0000"]
