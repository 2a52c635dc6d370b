"""The keys `models`, `peers` and `evaluate` of params.yaml, apart from the code that ranks: no torch is needed."""

from importlib.util import find_spec
from typing import Annotated, Literal

from retrieval.evaluation.projection import PROJECTIONS, missing
from retrieval.params import Positive, Section, one_of

from pydantic import AfterValidator, Field, field_validator

OWN = "dssm"  # compared with every other model, and the model of the training curve and the maps
PEERS = {"sasrec": "pytorch_lightning"}  # models of other libraries, and the package that each needs
Length = Annotated[int, Field(ge=1, le=1000)]  # items per list; the lists of all users are in memory at once
Lengths = Annotated[list[Length], Field(min_length=1)]


class Evaluation(Section):
    """The section `evaluate` of params.yaml.

    ks: items per list, ascending; the first one is that of the table. head: share of the items, the most watched ones,
    that are not long tail. users: of the setting train, at most; if there are more, a sample of them. resamples:
    bootstrap samples of the test users. negatives: random unwatched items per user, for the distributions of the score.
    points: maximum number of users in these distributions, and of users and of items on a map. map: kind of the maps.
    candidates: the items that are ranked, those of train, or all, with those that have features and no interaction.
    """

    ks: Lengths
    head: Annotated[float, Field(gt=0, lt=1)]
    users: Positive
    resamples: Annotated[int, Field(ge=1, le=1_000_000)]
    negatives: Annotated[int, Field(ge=1, le=10_000)]
    points: Annotated[int, Field(ge=1, le=20_000)]  # a map takes points^2 numbers
    map: Annotated[str, one_of(PROJECTIONS)]
    candidates: Literal["train", "all"]

    @property
    def k(self) -> int:
        """Items per list of the table."""
        return self.ks[0]

    @field_validator("ks")
    @classmethod
    def _ascend(cls, ks: list[int]) -> list[int]:
        if ks != sorted(set(ks)):
            raise ValueError(f"{ks} is not valid: expected ascending numbers, each once")
        return ks

    @field_validator("map")
    @classmethod
    def _is_installed(cls, kind: str) -> str:
        if missing(kind):
            raise ValueError(f"{kind} needs a package that is not installed: pip install {kind}-learn")
        return kind


def _check_names(names: list[str]) -> list[str]:
    if OWN not in names:
        raise ValueError(f"{OWN} is missing; all other models are compared with it")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} appears twice")
    return names


def _check_peers(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} appears twice")
        if find_spec(PEERS[name]) is None:
            raise ValueError(f"{name} needs packages that are not installed: make .venv/ready-{name}")
    return names


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
Models = Annotated[list[Name], AfterValidator(_check_names)]
Peers = Annotated[list[Annotated[str, one_of(PEERS)]], AfterValidator(_check_peers)]
