"""The schemas of requests and answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema

MAX_K = 100  # items in an answer
MAX_HISTORY = 1000  # watched items in a profile
MAX_CANDIDATES = 10_000  # items of `only` and of `without`
MAX_USERS = 1000  # of a batch
MAX_NEW = 1000  # items of POST /items
MAX_CELL, MAX_LIST = 10_000, 100  # characters, and values, of one of their columns
MAX_VALUES = 1000  # of a column of `where`
MAX_TEXT = 200  # characters
MAX_TEXTS = 32  # of a column of demographics
MAX_FIELDS = 100  # of an object


@dataclass(frozen=True)
class Expected:
    """`Annotated[A | B, Expected("...")]`: the one error for a value that is neither, in place of one for each type."""

    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        union: Any = schema["schema"] if schema["type"] == "nullable" else schema
        union |= {"custom_error_type": "expected", "custom_error_message": f"expected {self.what}"}
        return schema


Integer = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
Id = Annotated[
    Integer | Annotated[str, Field(min_length=1, max_length=MAX_TEXT)],
    Field(description="an id as it is in the data: a 64-bit integer, or text"),
    Expected(f"an id: a 64-bit integer, or text of 1 to {MAX_TEXT} characters"),
]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
# Of a long list only the first error is reported: thousands take long to describe.
Texts = Annotated[list[Text], Field(max_length=MAX_TEXTS)]
Demographic = Annotated[
    Text | Texts, Expected(f"a text of at most {MAX_TEXT} characters, or a list of at most {MAX_TEXTS} such texts")
]
Value = Text | Integer  # of a column
Values = Annotated[list[Value], Field(max_length=MAX_VALUES, fail_fast=True)]
Condition = Annotated[
    Value | Values,
    Expected(
        f"a text of at most {MAX_TEXT} characters or a 64-bit integer, or a list of at most {MAX_VALUES:,} of them"
    ),
]
Ids = Annotated[list[Id], Field(max_length=MAX_CANDIDATES, fail_fast=True)]


class Items(BaseModel):
    """Items as parallel lists, best first. `new`: whether the item is not in train, but known by its features only."""

    model: str
    items: list[int | str]
    scores: list[float]
    titles: list[str | None]
    years: list[str | None]
    genres: list[list[str]]
    new: list[bool]


class Recommendations(Items):
    """`personal`: whether the scores depend on the user. `seen`: whether the user has watched the item."""

    user_id: int | str | None
    personal: bool
    seen: list[bool]


class Similar(Items):
    """Items similar to an item."""

    item_id: int | str


class WatchedItem(BaseModel):
    """An item that the user watched, and when."""

    model_config = ConfigDict(extra="forbid")

    item_id: Id
    date: datetime | None = None


class RequestBody(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        """Refuse an object of very many fields before each of them becomes an error."""
        parts = value.values() if isinstance(value, dict) else ()
        nested = (each for part in parts for each in (part if isinstance(part, list) else (part,)))
        if any(isinstance(each, dict) and len(each) > MAX_FIELDS for each in (value, *nested)):
            raise ValueError(f"expected objects of at most {MAX_FIELDS} fields")
        return value


class Choice(RequestBody):
    """Which items may be recommended.

    only, without: ids of the items that may, and may not, be in the answer. where: column -> value, or a list of
    values, see GET /items/columns; an item needs one of the values of every column.
    """

    k: Annotated[int, Field(ge=1, le=MAX_K)] = 10
    exclude_seen: bool = True
    only: Ids | None = None
    without: Ids = []
    where: Annotated[dict[Text, Condition], Field(max_length=32)] = {}


class Profile(Choice):
    """A user, and which items may be recommended.

    The user is one of the data, by `user_id`, or any other, by history and demographics. Give all items of the history
    a date, or none: then their order counts. demographics: column -> value, or a list of values.
    """

    user_id: Id | None = None
    history: Annotated[list[WatchedItem], Field(max_length=MAX_HISTORY, fail_fast=True)] = []
    demographics: Annotated[dict[Text, Demographic], Field(max_length=32)] = {}

    @model_validator(mode="after")
    def _one_user(self) -> "Profile":
        if self.user_id is not None and (self.history or self.demographics):
            raise ValueError("a user_id comes without history and demographics: those of the data are used")
        return self


class UserBatch(Choice):
    """Users of the data, and which items may be recommended to each."""

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_USERS, fail_fast=True)]


class UnknownUser(BaseModel):
    """A user of a batch who is not in the data."""

    user_id: int | str
    detail: str


class BatchAnswer(BaseModel):
    """What each user of a batch gets, in the order of the request."""

    lists: list[Recommendations | UnknownUser]


class Visit(BaseModel):
    """An item of a user's history; `date` is null if the data only have an order."""

    item_id: int | str
    title: str | None
    year: str | None
    genres: list[str]
    new: bool
    date: datetime | None


class User(BaseModel):
    """A user's demographics and train history, most recent first; `watched` is the length of the whole history.

    demographics: column -> value, or a list if there are several.
    """

    user_id: int | str
    demographics: dict[str, str | list[str]]
    watched: int
    history: list[Visit]


class Item(BaseModel):
    """An item of the catalogue; `watched` is the number of users who watched it in train, `new` is true if it is not
    in train."""

    item_id: int | str
    title: str | None
    year: str | None
    genres: list[str]
    new: bool
    watched: int


Number = Integer | Annotated[float, Field(allow_inf_nan=False)]
CellText = Annotated[str, Field(max_length=MAX_CELL)]
CellList = Annotated[list[CellText | Number], Field(max_length=MAX_LIST)]
Cell = Annotated[
    bool | CellText | Number | CellList | None,
    Expected(
        f"a text of at most {MAX_CELL:,} characters, a finite number, true, false or null, "
        f"or a list of at most {MAX_LIST} texts and numbers"
    ),
]


class NewItem(BaseModel):
    """An item by its row in the file of items: column -> text, number, list or null. Unknown values count as none."""

    model_config = ConfigDict(extra="forbid")

    item_id: Id
    columns: Annotated[dict[Text, Cell], Field(max_length=100)] = {}


class NewItems(RequestBody):
    """Items to add."""

    items: Annotated[list[NewItem], Field(min_length=1, max_length=MAX_NEW, fail_fast=True)]


class Added(BaseModel):
    """`added`: ids of the items that were added; `features`: of each, how many of its values the models know.

    `in_data`: ids that the data have, whose items stay as they are.
    """

    added: list[int | str]
    features: list[int]
    in_data: list[int | str]
    version: str


class ItemColumn(BaseModel):
    """A column of items that `where` can filter by. `values`: at most 100, the most frequent; `count`: of all."""

    column: str
    values: list[str]
    count: int


class ModelInfo(BaseModel):
    """What a model can do, and its metrics."""

    name: str
    backend: Literal["exact", "hnsw", "ivf", "milvus"]
    profiles: bool = Field(description="whether POST /reco/{model} works: new users")
    similar: bool = Field(description="whether GET /similar/{model}/{item_id} works")
    new_items: bool = Field(description="whether lists may have items that are not in train")
    users: int
    items: int
    dimensions: int
    metrics: dict[str, Any]


class Models(BaseModel):
    """The models, and the demographics that a profile may have: column -> values."""

    default: str
    fallback: str
    version: str
    models: list[ModelInfo]
    demographics: dict[str, list[str]]


class Release(BaseModel):
    """What runs. `version`: of the project; `revision`: of git; both null if unknown.

    models, catalogue: the hash of the card, which covers all files of the folder.
    """

    version: str | None
    revision: str | None
    models: dict[str, str]
    catalogue: str


class Version(BaseModel):
    """The models after a reload."""

    version: str
    changed: bool


class Status(BaseModel):
    """Alive, or ready."""

    status: str


class Reason(BaseModel):
    """Why there is no answer."""

    detail: str
