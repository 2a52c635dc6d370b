"""Which rows count as interactions: by value, event and duration."""

from datetime import datetime
from typing import Annotated, Literal

from retrieval.errors import Problem
from retrieval.params import Section

import ibis
import ibis.expr.types as ir
from pydantic import Field, field_validator, model_validator


class Positives(Section):
    """The section `positives` of params.yaml.

    min_value: the least value that counts; null: all do. events: the kinds of events that count; empty: all do.
    min_duration: the least duration that counts. repeats: which row of a pair of user and item is kept; train has all
    of them with split.repeats=keep. weight: of an interaction, the bin of its value, the value, or the number of rows
    of the pair that it stands for. exclude_disliked: do not recommend items to users who gave them less than min_value.
    """

    min_value: Annotated[float, Field(allow_inf_nan=False)] | None
    events: list[str]
    min_duration: Annotated[float, Field(ge=0)]
    repeats: Literal["last", "first"]
    weight: Literal["bin", "value", "count"]
    exclude_disliked: bool

    @field_validator("events", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"{value!r} is not a list: write [{value}]")
        return value

    @model_validator(mode="after")
    def _disliked_is_below_min_value(self) -> "Positives":
        if self.exclude_disliked and self.min_value is None:
            raise ValueError("exclude_disliked=true is about values below min_value: expected a number there, not null")
        return self


BELOW = "below_min_value"
POSITIVE = "positive"


def reason(rows: ir.Table, options: Positives, end: datetime | None) -> ir.StringValue:
    """Why each row is no interaction, POSITIVE if it is one; `end`: the last moment of the data.

    Raises `Problem` if an option needs a column that the data lack.
    """
    needed = {"event": options.events, "value": options.min_value is not None, "duration": options.min_duration}
    needed["value"] = needed["value"] or options.weight == "value"
    for name, option in needed.items():
        if option and name not in rows.columns:
            raise Problem(f"positives: the interactions have no {name}; name its column: mapping.{name}=NAME")
    conditions: list[tuple[ir.BooleanValue, str]] = []
    if end is not None:
        conditions.append((rows.time > ibis.literal(end, "timestamp"), "after_until"))
    if "value" in rows.columns:
        conditions.append((rows.value.isnull(), "no_value"))
    if options.events:
        conditions.append((~rows.event.fill_null("").isin(options.events), "other_event"))
    if options.min_value is not None:
        conditions.append((rows.value < options.min_value, BELOW))
    if options.min_duration:
        conditions.append((rows.duration.fill_null(0.0) < options.min_duration, "too_short"))
    return ibis.cases(*conditions, else_=POSITIVE) if conditions else ibis.literal(POSITIVE)
