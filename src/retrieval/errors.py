"""`Problem`, the exception whose text is shown to the user, and a helper for that text."""

from collections.abc import Iterable
from difflib import get_close_matches


class Problem(Exception):
    """An error that the user can fix. Its text is one line: where, what, what was expected, the closest valid value."""


def choices(value: object, options: Iterable[str]) -> str:
    """The end of a message about an invalid `value`: the valid `options` and the closest of them."""
    options = list(options)
    near = get_close_matches(str(value).lower(), options, n=1, cutoff=0.4)
    return f"expected one of {', '.join(options)}" + (f"; did you mean {near[0]!r}?" if near else "")
