"""The strict reader of params.yaml. The schema of a section lives beside the code that uses it.

DVC reads and writes the file with ruamel.yaml, which follows YAML 1.2. Here PyYAML reads it, which follows 1.1 unless
told otherwise: it would take 1e-5 for text, `no` for false, 010 for 8 and 12:30 for 750. `Loader` reads what DVC reads.
"""

import math
import re
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
MAX_BYTES = 100_000  # of params.yaml, ten times as many as it has
MAX_DEPTH = 20  # of nested lists and mappings
MAX_ERRORS = 6  # in one line
MAX_WORDED = 200  # errors that are put into words, since two of them can be the same
LARGEST = 2**31 - 1  # integer, unless a field says otherwise: what NumPy, torch and FAISS store in 32 bits
_TAG = "tag:yaml.org,2002:"
RENAMED = {
    "trend.personal": "trend.user_weight",
    "trend.common": "trend.mean_weight",
    "evaluate.k": "evaluate.ks",
}


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


def _check_line(value: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise PydanticCustomError("line", "expected text without line breaks and control characters")
    return value


AUTO = _Auto()
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
NotNegative = Annotated[int, Field(ge=0, le=LARGEST)]
Line = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_check_line)]  # such as a path
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what NumPy, torch, scikit-learn and LightFM all take
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
        details = error.errors()
        lines = list(dict.fromkeys(_line(schema, detail) for detail in details[:MAX_WORDED]))
        left = len(lines[MAX_ERRORS:]) + len(details[MAX_WORDED:])
        more = [f"and {left} more"] if left else []
        raise Problem(f"{path}: {'; '.join(lines[:MAX_ERRORS] + more)}") from None


def load(path: Path) -> dict[str, Any]:
    """The top-level mapping of a YAML file, not validated."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise Problem(f"{path}: more than {MAX_BYTES:,} bytes; expected about 10,000")
        values = parse(content.decode("utf-8"))
    except FileNotFoundError:
        raise Problem(f"{path}: no such file; run this from the root of the repository") from None
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        text = " ".join(str(error).replace('in "<unicode string>", line', "in line").split())
        raise Problem(f"{path}: invalid YAML: {text or type(error).__name__}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise Problem(f"{path}: expected a mapping of names to values at the top level")
    return values


def parse(text: str) -> Any:
    """The value of YAML text, as DVC reads it. Raises `yaml.YAMLError` or `ValueError`.

    Aliases and tags, which DVC never writes, are errors: an alias of aliases can stand for billions of values.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _error(f"more than {MAX_DEPTH} levels", event)
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"alias *{event.anchor}: write the value itself", event)
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            tag = event.tag.replace(_TAG, "!!")
            raise _error(f"tag {tag}: expected a value without a tag", event)
        if isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
            raise _error("a line with %: expected YAML without directives", event)
    return yaml.load(text, Loader=Loader)


def _error(message: str, where: Any) -> yaml.MarkedYAMLError:
    """An error that names the line and column of an event or node."""
    return yaml.MarkedYAMLError(None, None, message, where.start_mark)


class Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with the plain values of YAML 1.2 as ruamel.yaml reads them, and unique keys.

    Beyond the core schema of YAML 1.2, ruamel.yaml reads 1_000, 0b101 and -0x1F as integers. It also reads dates, which
    are text here.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that appears twice, of which PyYAML takes the last one."""
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _error(f"key {_short(key.value)} appears twice", node)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Decimal unless it starts with 0b, 0o or 0x, also after a sign; 010 is ten."""
        text = node.value.replace("_", "")
        value = int(text, {"0b": 2, "0o": 8, "0x": 16}.get(text.lstrip("+-")[:2], 10))
        if value.bit_length() > 1000:
            raise _error("a number of more than 300 digits", node)
        return value


_PLAIN = {  # what a value without quotes must match to be other than text; the first that matches
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "float": r"[-+]?[0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
    r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "int": r"(?!_)[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9_]+)",
}
# Under None are those for any first letter.
Loader.yaml_implicit_resolvers = {None: [(_TAG + name, re.compile(rf"(?:{p})\Z")) for name, p in _PLAIN.items()]}
Loader.yaml_constructors = Loader.yaml_constructors | {_TAG + "int": Loader.construct_yaml_int}


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
        return f"{start}{_short(value)} is text, expected a number{_as_number(value, error['type'].startswith('int'))}"
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
    """How to write `text` as a number; "" if it is not a number."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if not math.isfinite(number) or (integer and not number.is_integer()):
        return ""
    return f": write {int(number) if integer else number}, without quotes"


def _fields(schema: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at `loc`."""
    for part in loc:
        annotation = schema.model_fields[str(part)].annotation
        models = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        schema = models[0]
    return list(schema.model_fields)
