"""What the service is asked and what it answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST = 100  # items in an answer
LONGEST = 1000  # watched items in a profile

Id = Annotated[int, Field(ge=-(2**63), le=2**63 - 1, description="a 64-bit id")]
Text = Annotated[str, Field(max_length=200)]


class Items(BaseModel):
    """Items in parallel lists, best first."""

    model: str
    items: list[int]
    scores: list[float]
    titles: list[str | None]
    years: list[str | None]
    genres: list[list[str]]


class Recommendations(Items):
    """`personal`: made for this user; else the same for all. `seen`: whether the user has watched the item."""

    user_id: int | None
    personal: bool
    seen: list[bool]


class Similar(Items):
    """Items like one item."""

    item_id: int


class WatchedItem(BaseModel):
    """One item that was watched, and when."""

    model_config = ConfigDict(extra="forbid")

    item_id: Id
    date: datetime | None = None


class Profile(BaseModel):
    """A user who need not be in the data. Dates are given for all watched items or for none; then the order counts."""

    model_config = ConfigDict(extra="forbid")

    history: Annotated[list[WatchedItem], Field(max_length=LONGEST)] = []
    demographics: Annotated[dict[Text, Text], Field(max_length=32)] = {}
    k: Annotated[int, Field(ge=1, le=MOST)] = 10
    exclude_seen: bool = True


class Visit(BaseModel):
    """An item of a user's history."""

    item_id: int
    title: str | None
    year: str | None
    genres: list[str]
    date: datetime


class User(BaseModel):
    """A user's demographics and history in train, the last item first."""

    user_id: int
    demographics: dict[str, str]
    watched: int
    history: list[Visit]


class Item(BaseModel):
    """An item of the catalogue; `watched` by so many users in train."""

    item_id: int
    title: str | None
    year: str | None
    genres: list[str]
    watched: int


class Served(BaseModel):
    """A model that is served: what it can do, and its metrics."""

    name: str
    backend: Literal["exact", "hnsw", "ivf", "milvus"]
    profiles: bool = Field(description="whether POST /reco/{model} works: users who are not in the data")
    similar: bool = Field(description="whether GET /similar/{model}/{item_id} works")
    users: int
    items: int
    dimensions: int
    metrics: dict[str, Any]


class Models(BaseModel):
    """The models, and what a profile may say."""

    default: str
    fallback: str
    version: str
    models: list[Served]
    demographics: dict[str, list[str]]


class Version(BaseModel):
    """What is served after a reload."""

    version: str
    changed: bool


class Status(BaseModel):
    """Alive, or ready."""

    status: str


class Reason(BaseModel):
    """Why there is no answer."""

    detail: str
