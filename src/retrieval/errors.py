"""The one exception that reaches a person."""

from collections.abc import Iterable
from difflib import get_close_matches


class Problem(Exception):
    """Something a person can mend. Its text is one line: what, where, what was expected, what is near."""


def choices(value: object, known: Iterable[str]) -> str:
    """The end of a message about a value that is not among the known ones: the choices and the nearest of them."""
    known = list(known)
    near = get_close_matches(str(value).lower(), known, n=1, cutoff=0.4)
    return f"expected one of {', '.join(known)}" + (f"; did you mean {near[0]!r}?" if near else "")
