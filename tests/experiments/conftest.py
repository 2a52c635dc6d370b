"""A change between two revisions, and what an HTML page would load."""

from collections.abc import Callable
from html.parser import HTMLParser

from retrieval.experiments.change import Change, Plot

import pytest


class Sources(HTMLParser):
    """The tags of a page, and all addresses in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture
def sources() -> Callable[[str], Sources]:
    """sources(page): its tags and addresses."""
    return Sources


@pytest.fixture
def change() -> Change:
    """Of two models, one changes; of two plots, one; the parameters need escaping."""
    loss = {"loss": {"main": ([1, 2, 3], [4, 2, 1]), "new": ([1, 2], [3, 1])}}
    constant = {"y": {"main": ([1, 2], [1, 1]), "new": ([1, 2], [1, 1])}}
    return Change(
        "main",
        "new",
        {
            "dssm": {"recall@10": (0.5, 0.5), "map@10": (0.1, 0.125)},
            "ease": {"map@10": (0.2, 0.2), "recall@10": (0.4, 0.4)},
        },
        {"loss": ("softmax", "<b>bpr</b>"), "train.epochs": (14, None)},
        [Plot("plots/loss.json", "Loss", "epoch", "loss", loss), Plot("plots/x.json", "X", "x", "y", constant)],
        {"plots/map.png": {"main": b"one", "new": b"two"}},
        ["dssm: made <elsewhere>."],
        {"dssm": {"map@10": 0.02, "recall@10": 0.03}, "ease": {"map@10": 0.02, "recall@10": 0.03}},
    )
