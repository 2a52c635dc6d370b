"""params.yaml: one strict reader. A section's schema lives beside the code that it drives."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from retrieval.errors import Problem, choices

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

PATH = Path("params.yaml")
MOST = 6  # errors that one line names
RENAMED = {"trend.personal": "trend.user_weight", "trend.common": "trend.mean_weight"}


class Section(BaseModel):
    """A group of parameters: every key is due, no other key is allowed, no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=Section)


def one_of(*tables: Collection[str]) -> AfterValidator:
    """`Annotated[str, one_of(TABLE)]`: a parameter whose values are the table's names when the value is read."""

    def check(value: str) -> str:
        known = [name for table in tables for name in table]
        if value not in known:
            raise PydanticCustomError("choice", "{hint}", {"hint": choices(value, known)})
        return value

    return AfterValidator(check)


class _Auto:
    """`Annotated[Positive, AUTO]`: "auto" is a value, too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(
            lambda value, check: value if value == "auto" else check(value), handler(source), serialization=as_it_is
        )


AUTO = _Auto()
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def read(kind: type[P], path: Path = PATH, everything: bool = False) -> P:
    """The keys of params.yaml that `kind` names, checked; with `everything`, there may be no other keys.

    Raises `Problem` with one line that names the file, the key, the value and what was expected.
    """
    return validate(kind, load(path), path, everything)


def validate(kind: type[P], values: dict[str, Any], path: Path = PATH, everything: bool = False) -> P:
    """As `read`, of values that were loaded from `path`."""
    for old, new in RENAMED.items():
        section, name = old.split(".")
        if isinstance(values.get(section), dict) and name in values[section]:
            raise Problem(f"{path}: {old} is now called {new}")
    try:
        return kind.model_validate({name: values[name] for name in values if everything or name in kind.model_fields})
    except ValidationError as error:
        lines = list(dict.fromkeys(_line(kind, detail) for detail in error.errors()))
        more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
        raise Problem(f"{path}: {'; '.join(lines[:MOST] + more)}") from None


def load(path: Path) -> dict[str, Any]:
    """The mapping that the YAML file holds, unchecked."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except FileNotFoundError:
        raise Problem(f"{path}: no such file; run this from the root of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Problem(f"{path}: is no valid YAML: {' '.join(str(error).split()) or type(error).__name__}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise Problem(f"{path}: expected a mapping of names to values at the top level")
    return values


class _UniqueKeys(yaml.CSafeLoader):
    """YAML as PyYAML reads it, but a key that stands twice is an error and not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _line(kind: type[BaseModel], error: ErrorDetails) -> str:
    where = ".".join(_name(part) for part in error["loc"])
    start = f"{where}: " if where else ""
    value = error["input"]
    if error["type"] == "missing":
        return f"{start}is missing"
    if error["type"] == "extra_forbidden":
        return f"{start}is no known key; {choices(error['loc'][-1], _fields(kind, error['loc'][:-1]))}"
    if error["type"] in ("float_type", "int_type", "float_parsing", "int_parsing") and isinstance(value, str):
        return f"{start}{value!r} is text where a number is due{_as_number(value)}"
    if error["type"] == "value_error":
        return f"{start}{error['ctx']['error']}"
    message = error["msg"].removeprefix("Input should be ")
    expected = message if message.startswith("expected") else f"expected {message}"
    return f"{start}{_short(value)} is not valid: {expected}"


def _name(key: int | str) -> str:
    text = str(key)
    return text if text.isprintable() and len(text) <= 60 else _short(key)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _as_number(text: str) -> str:
    try:
        return f"; YAML wants a dot and no quotes: write {float(text)!r}"
    except ValueError:
        return ""


def _fields(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        annotation = kind.model_fields[str(part)].annotation
        models = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        kind = models[0]
    return list(kind.model_fields)
