"""`Problem`, the exception whose text is shown to the user, and one line for every other exception."""

import os
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

DEBUG = "RETRIEVAL_DEBUG"  # a variable of the environment; if it is set, errors come with their traceback
LONGEST = 500  # characters of the text of a library
SOURCES = Path(__file__).parents[1]
NO_MEMORY = ("alloc", "not enough memory", "out of memory")  # in the texts of torch, FAISS and others


class Problem(Exception):
    """An error that the user can fix. Its text is one line: where, what, what was expected, the closest valid value."""


MOST = 20  # options in a message
SEARCHED = 1_000  # options that the closest one is looked for in: comparing texts is slow


def choices(value: object, options: Iterable[str]) -> str:
    """The end of a message about an invalid `value`: the valid `options`, at most MOST, and the closest of all."""
    options, text = list(options), str(value).lower()
    alike = options if len(options) <= SEARCHED else [each for each in options if each[:1].lower() == text[:1]]
    near = get_close_matches(text, alike[:SEARCHED], n=1, cutoff=0.4)
    more = f" and {len(options) - MOST:,} more" if len(options) > MOST else ""
    listed = f"expected one of {', '.join(options[:MOST])}{more}"
    return listed + (f"; did you mean {near[0]!r}?" if near else "")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Give errors of the operating system the path that was written, which those of a full disk do not have."""
    try:
        yield
    except OSError as error:
        if error.filename is None and not isinstance(error, TimeoutError):
            raise Problem(f"{path}: cannot be written: {_reason(error)}") from error
        raise


def explain(error: Exception) -> str:
    """One line for any exception: what, where and why."""
    if isinstance(error, Problem):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {_reason(error)}"
    text = " ".join(str(error).split())[:LONGEST]
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in text for w in NO_MEMORY)):
        return f"out of memory, {_place(error)}: {text or 'no details'}"
    name = type(error).__name__
    return f"unexpected {name}, {_place(error)}: {text or 'no details'}; {DEBUG}=1 shows where it comes from"


def _reason(error: OSError) -> str:
    if "requested and" in str(error):
        return "No space left on device"  # NumPy: "4096 requested and 0 written"
    return error.strerror or (os.strerror(error.errno) if error.errno else " ".join(str(error).split()))


def _place(error: Exception) -> str:
    """The innermost line of this project that the exception passed."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(SOURCES)
    ]
    return f"{Path(frames[-1].filename).relative_to(SOURCES)}:{frames[-1].lineno}" if frames else "in a library"
