"""The page /docs: what the OpenAPI document says, as plain HTML. It needs no script and nothing from another host."""

import json
from html import escape
from typing import Any


def page(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    operations = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="page.css"></head>'
        f'<body><main class="reference"><h1>{title}</h1>'
        f'<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(operations)}<h2>Schemas</h2>{''.join(schemas)}</main></body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    """A request: what it is for, its parameters, its body and its answers."""
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{_about(operation)}</p>"]
    if operation.get("parameters"):
        rows = "".join(map(_parameter, operation["parameters"]))
        parts.append(f"<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>{rows}</table>")
    if "requestBody" in operation:
        parts.append(f"<p>Body: {_content(operation['requestBody'])}</p>")
    answers = (
        f"<li>{status}: {_about(answer)} {_content(answer)}</li>" for status, answer in operation["responses"].items()
    )
    return "".join([*parts, f"<ul>{''.join(answers)}</ul>"])


def _parameter(parameter: dict[str, Any]) -> str:
    required = "required. " if parameter["required"] else ""
    return (
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{parameter['in']}</td>"
        f"<td>{_type(parameter['schema'])}</td><td>{required}{_about(parameter)}</td></tr>"
    )


def _content(part: dict[str, Any]) -> str:
    """The type of a body."""
    return ", ".join(_type(each.get("schema", {})) for each in part.get("content", {}).values())


def _schema(name: str, schema: dict[str, Any]) -> str:
    """A schema: what it is, and its fields."""
    rows = [
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(each)}</td><td>{_about(each)}</td></tr>"
        for field, each in schema.get("properties", {}).items()
    ]
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{_about(schema)}</p><table>{"".join(rows)}</table>'


def _about(part: dict[str, Any]) -> str:
    return escape(part.get("description", ""))


def _type(schema: dict[str, Any]) -> str:
    """A type with its limits: a link to a schema, an array, alternatives, or what JSON has."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        text = " or ".join(map(_type, schema["anyOf"]))
    elif schema.get("type") == "array":
        text = f"array of {_type(schema.get('items', {}))}"
    elif isinstance(schema.get("additionalProperties"), dict):
        text = f"object of {_type(schema['additionalProperties'])}"
    elif "enum" in schema:
        text = " or ".join(escape(json.dumps(each)) for each in schema["enum"])
    else:
        text = schema.get("type", "any")
    limits = {"minimum": "from", "maximum": "to", "minLength": "length from", "maxLength": "length to",
              "minItems": "items from", "maxItems": "items to", "default": "default"}  # fmt: skip
    said = [f"{word} {escape(json.dumps(schema[key]))}" for key, word in limits.items() if key in schema]
    return f"{text} ({', '.join(said)})" if said else text
