"""The sizes of the towers: the section `towers` of params.yaml, which bodies, encoders and towers are built from."""

from typing import Annotated

from retrieval.params import AUTO, Positive, Section

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError


def _even(width: int) -> int:
    """Not Field(multiple_of=2), which pydantic checks before the bounds."""
    if width % 2:
        raise PydanticCustomError("even", "expected a multiple of 2")
    return width


class Towers(Section):
    """Sizes of the towers, and what their score contains.

    width: of the vectors and of every layer. dropout: of the bodies and the history encoders. id_dropout: how often an
    item's id is left out in training, so that a new item gets a vector from its features. length: how many items of a
    history are read, the last ones. layers: of gru and transformer. heads: of attention. half_life: of a bag, in items;
    0 for a plain mean. tied: histories are read with the item tower's vectors, else with vectors of their own. bias:
    each item has one. popularity: what the biases gain after training, times log(1 + the item's interactions in the
    later half of train); auto: what held-out items say, see `training.weighing`. ensemble: how many pairs of towers are
    trained, each with a seed of its own; the model's scores are the mean of theirs; auto: 2 with a trend and 5,000
    users or more, else 1. temperature: divides the scores; with learn_temperature its start value.
    """

    width: Annotated[int, Field(ge=2, le=65_536), AfterValidator(_even)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    id_dropout: Annotated[float, Field(ge=0, lt=1)]
    length: Positive
    layers: Annotated[int, Field(ge=1, le=1000)]
    heads: Positive
    half_life: Annotated[float, Field(ge=0)]
    tied: bool
    bias: Annotated[bool, AUTO]
    popularity: Annotated[float, Field(ge=0, le=100), AUTO]
    ensemble: Annotated[int, Field(ge=1, le=100), AUTO]
    temperature: Annotated[float, Field(gt=0)]
    learn_temperature: bool

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Towers":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _popularity_is_a_bias(self) -> "Towers":
        if self.bias is False and self.popularity not in ("auto", 0):
            raise ValueError(f"popularity={self.popularity} is added to the items' biases: expected bias=true, or 0")
        return self
