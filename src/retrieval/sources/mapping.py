"""Which column is what: by its name in params.yaml, or recognised by names that many exports use."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from retrieval.errors import Problem
from retrieval.params import Line, Section

NEAREST = 8  # columns named in an error
ROLES = ("user", "item", "time", "value", "event", "duration")
# Names in lower case without "_", " ", "-", "."; those of an earlier group win over those of a later one.
NAMES: dict[str, tuple[str, ...]] = {
    "user": (
        "userid",
        "user uid usr",
        "reviewerid visitorid customerid memberid clientid accountid profileid viewerid listenerid readerid buyerid "
        "shopperid subscriberid personid playerid msno",
        "username reviewer visitor customer member client account viewer listener reader buyer player steamid",
        "userpseudoid sessionid session",
    ),
    "item": (
        "itemid",
        "item iid",
        "movieid filmid parentasin bookid trackid productid songid gameid articleid videoid contentid showid animeid "
        "newsid appid sku recipeid businessid adid courseid eventid artistid",
        "asin isbn movie film book track product song game article video content show anime recipe",
        "title itemname productname gamename moviename trackname songname artist artistname",
    ),
    "time": (
        "lastwatchdt",
        "timestamp eventtimestamp unixreviewtime datetime eventtime",
        "time ts playedat createdat watchedat purchasedat ratedat dateadded eventdatetime utctime",
        "date eventdate reviewdate orderdate purchasedate invoicedate transactiondate eventdt datum day",
    ),
    "value": (
        "watchedpct",
        "rating score stars overall",
        "ratingvalue userrating bookrating starrating playedratiopct percent",
        "hours hoursplayed playtime playtimeforever playcount plays listens count quantity",
    ),
    "event": (
        "event eventtype eventname",
        "action actiontype behavior behaviour behaviortype interaction interactiontype",
    ),
    "duration": ("totaldur", "duration durationsec durationseconds watchtime dwelltime msplayed playedms"),
}
OWN = {"user_id", "item_id", "last_watch_dt", "watched_pct", "total_dur"}  # KION's, of which nothing is said
_RECBOLE = re.compile(r":(token|float)(_seq)?$")


class Mapping(Section):
    """What the files and columns of data=folder are: "auto", a name, or, for all but user, item, interactions, "none".

    time_format: "auto", a format of strptime, or the unit of numbers since 1970: s, ms, us, ns, d.
    """

    user: Line
    item: Line
    time: Line
    value: Line
    event: Line
    duration: Line
    time_format: Line
    interactions: Line
    items: Line
    users: Line


AUTO: dict[str, Any] = dict.fromkeys(Mapping.model_fields, "auto")


def columns_of(where: str, columns: Sequence[str], mapping: Mapping) -> dict[str, str]:
    """Role -> column of the interactions, for all of ROLES that are there; user and item are.

    where: the file, for errors. Raises `Problem` if a column that is named is missing, if user or item is not
    recognised, if two columns are equally good, or if one column has two roles.
    """
    found = {}
    for role in ROLES:
        wanted = getattr(mapping, role)
        if wanted == "none" and role not in ("user", "item"):
            continue
        name = recognise(where, columns, role) if wanted == "auto" else _named(where, columns, role, wanted)
        if name is not None:
            found[role] = name
        elif role in ("user", "item"):
            near = listing(columns, names_of(role))
            raise Problem(f"{where}: no column is recognised as the {role}; {near}: set mapping.{role}=NAME")
    if mapping.time_format != "auto" and "time" not in found:
        raise Problem(
            f"{where}: mapping.time_format is set, but no column is recognised as the time; "
            f"{listing(columns, names_of('time'))}: set mapping.time=NAME"
        )
    for role, name in found.items():
        other = next((other for other in found if other != role and found[other] == name), None)
        if other is not None:
            raise Problem(f"{where}: column {name!r} is both mapping.{role} and mapping.{other}")
    return found


def key_of(where: str, columns: Sequence[str], role: str, column: str) -> str:
    """The column of ids in a file of items or users; column: that of the interactions."""
    same = [name for name in columns if plain(name) == plain(column)]
    key = column if column in columns else same[0] if len(same) == 1 else None
    key = key or recognise(where, columns, role, (NAMES[role][0], "id", *NAMES[role][1:-1]))
    if key is None:
        raise Problem(
            f"{where}: no column is recognised as the {role}; {listing(columns, names_of(role))}: "
            f"call it {column}, as in the interactions, or leave the file out with mapping.{role}s=none"
        )
    return key


def recognise(where: str, columns: Sequence[str], role: str, groups: Sequence[str] = ()) -> str | None:
    """The column that is `role` by its name, None if there is none; raises `Problem` if two are equally good."""
    for group in groups or NAMES[role]:
        fits = [name for name in columns if plain(name) in group.split()]
        if len(fits) > 1:
            raise Problem(
                f"{where}: {' and '.join(map(repr, fits[:3]))} may both be the {role}: set mapping.{role}=NAME"
            )
        if fits:
            return fits[0]
    return None


def described(found: dict[str, str]) -> list[str]:
    """What is said about columns that were recognised: everything but KION's own names."""
    return [f"{shown(name)} is the {role}" for role, name in found.items() if name not in OWN]


def plain(name: str) -> str:
    """A name without case, separators and RecBole's type."""
    return re.sub(r"[_\s.-]", "", without_type(name.strip())).lower()


def without_type(name: str) -> str:
    """A column name of RecBole without its type: user_id:token is user_id."""
    return _RECBOLE.sub("", name)


def listing(columns: Sequence[str], names: Sequence[str]) -> str:
    """The columns that are there, those nearest to `names` first, and not hundreds of them."""
    near = {c: max(SequenceMatcher(None, plain(c)[:60], name).ratio() for name in names) for c in columns[:1000]}
    first = sorted(near, key=lambda column: -near[column])[:NEAREST]
    more = f" and {len(columns) - len(first):,} more" if len(columns) > len(first) else ""
    return f"the columns are {', '.join(map(shown, first))}{more}"


def shown(name: str) -> str:
    """A name for a message: one line, and not too long."""
    text = " ".join(name.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def names_of(role: str) -> list[str]:
    """All names by which a role is recognised."""
    return " ".join(NAMES[role]).split()


def _named(where: str, columns: Sequence[str], role: str, name: str) -> str:
    if name not in columns:
        raise Problem(f"{where}: mapping.{role}: no column {name!r}; {listing(columns, [plain(name)])}")
    return name
