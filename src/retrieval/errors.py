"""`Problem`, the exception whose text is shown to the user, and a helper for that text."""

from collections.abc import Iterable
from difflib import get_close_matches


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
