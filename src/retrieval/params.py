"""The strict reader of params.yaml. The schema of a section lives beside the code that uses it."""

import math
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
MAX_ERRORS = 6  # in one line
RENAMED = {"trend.personal": "trend.user_weight", "trend.common": "trend.mean_weight"}


class Section(BaseModel):
    """A group of parameters: every key is required, no other key is allowed, and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=Section)


def one_of(*tables: Collection[str]) -> AfterValidator:
    """`Annotated[str, one_of(TABLE)]`: a key of a table. Tables are read at validation, so they may grow until then."""

    def check(value: str) -> str:
        names = [name for table in tables for name in table]
        if value not in names:
            raise PydanticCustomError("choice", "{hint}", {"hint": choices(value, names)})
        return value

    return AfterValidator(check)


class _Auto:
    """`Annotated[Positive, AUTO]`: the value may also be "auto"."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        unchanged = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(
            lambda value, check: value if value == "auto" else check(value), handler(source), serialization=unchanged
        )


AUTO = _Auto()
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def read(schema: type[P], path: Path = PATH, everything: bool = False) -> P:
    """Read the keys of params.yaml that `schema` names. With `everything`, any other key is an error.

    Raises `Problem` with one line that names the file, the key, the value and what was expected.
    """
    return validate(schema, load(path), path, everything)


def validate(schema: type[P], values: dict[str, Any], path: Path = PATH, everything: bool = False) -> P:
    """Validate `values` as `read` does; errors name `path`."""
    for old, new in RENAMED.items():
        section, name = old.split(".")
        if isinstance(values.get(section), dict) and name in values[section]:
            raise Problem(f"{path}: {old} is now called {new}")
    try:
        return schema.model_validate({key: values[key] for key in values if everything or key in schema.model_fields})
    except ValidationError as error:
        lines = list(dict.fromkeys(_line(schema, detail) for detail in error.errors()))
        more = [f"and {len(lines) - MAX_ERRORS} more"] if len(lines) > MAX_ERRORS else []
        raise Problem(f"{path}: {'; '.join(lines[:MAX_ERRORS] + more)}") from None


def load(path: Path) -> dict[str, Any]:
    """The top-level mapping of a YAML file, not validated."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except FileNotFoundError:
        raise Problem(f"{path}: no such file; run this from the root of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Problem(f"{path}: invalid YAML: {' '.join(str(error).split()) or type(error).__name__}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise Problem(f"{path}: expected a mapping of names to values at the top level")
    return values


class _UniqueKeys(yaml.CSafeLoader):
    """PyYAML's safe loader, except that a key that appears twice is an error; PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _line(schema: type[BaseModel], error: ErrorDetails) -> str:
    """One error of pydantic in the wording of this project."""
    where = ".".join(_name(part) for part in error["loc"])
    start = f"{where}: " if where else ""
    value = error["input"]
    if error["type"] == "missing":
        return f"{start}required"
    if error["type"] == "extra_forbidden":
        return f"{start}unknown key; {choices(error['loc'][-1], _fields(schema, error['loc'][:-1]))}"
    if error["type"] in ("float_type", "int_type", "float_parsing", "int_parsing") and isinstance(value, str):
        return f"{start}{value!r} is text, expected a number{_as_number(value, error['type'].startswith('int'))}"
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


def _as_number(text: str, integer: bool) -> str:
    """How to write `text` as a number; "" if it is not a number. PyYAML reads 1e-3, which has no dot, as text."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if not math.isfinite(number) or (integer and not number.is_integer()):
        return ""
    written = repr(int(number) if integer else number)
    return f": write {written if '.' in written else written.replace('e', '.0e')}, without quotes"


def _fields(schema: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at `loc`."""
    for part in loc:
        annotation = schema.model_fields[str(part)].annotation
        models = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        schema = models[0]
    return list(schema.model_fields)
