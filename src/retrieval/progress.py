"""Signs of life on stderr: on a terminal a bar, elsewhere lines that a log can hold."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.stage import write_json

from tqdm import tqdm

EVERY = 30.0  # seconds between the lines of a pass; a shorter one has none
Advance = Callable[..., None]


@contextmanager
def progress(title: str, total: int, unit: str, hidden: bool = False) -> Iterator[Advance]:
    """A pass over `total` units. Yields advance(count, note=""), to be called after every `count` of them."""
    if hidden:
        yield lambda count, note="": None
    elif sys.stderr.isatty():
        with tqdm(desc=title, total=total, unit=f" {unit}") as bar:

            def advance(count: int, note: str = "") -> None:
                bar.set_postfix_str(note, refresh=False)
                bar.update(count)

            yield advance
    else:
        yield _Lines(title, total, unit)


class _Lines:
    """Prints how far a pass is, every EVERY seconds."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, 0
        self.start = self.last = time.monotonic()

    def __call__(self, count: int, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last < EVERY or self.done >= self.total:
            return
        self.last = now
        left = (now - self.start) * (self.total - self.done) / self.done
        parts = [f"{100 * self.done // self.total} % of {self.total:,} {self.unit}", note, f"{clock(left)} left"]
        print(f"{self.title}: {', '.join(filter(None, parts))}", file=sys.stderr, flush=True)


class Epochs:
    """A line for each epoch of a training, where stderr is no terminal: its numbers, its seconds, the time left.

    total: at most so many. live: a file with the numbers of all epochs so far, which `dvc plots show` draws.
    """

    def __init__(self, total: int, live: Path | None = None, hidden: bool = False) -> None:
        self.total, self.live, self.hidden = total, live, hidden
        self.seconds: list[float] = []
        self.last = time.monotonic()

    def __call__(self, history: list[dict[str, float]]) -> None:
        """`history`: one line for each finished epoch, also for those of an earlier run of the same training."""
        now = time.monotonic()
        self.seconds.append(now - self.last)
        self.last = now
        if self.hidden:
            return
        if self.live is not None:
            write_json(self.live, history)
        if not sys.stderr.isatty():
            left = (self.total - len(history)) * sum(self.seconds) / len(self.seconds)
            numbers = [f"{name} {value:.4f}" for name, value in history[-1].items() if name != "epoch"]
            parts = [*numbers, clock(self.seconds[-1]), *([f"{clock(left)} left"] if len(history) < self.total else [])]
            print(f"epoch {len(history)}/{self.total}: {', '.join(parts)}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds in words: 0.3 s, 42 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min {whole % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
