"""The page /docs."""

import re

from retrieval.serving.reference import page


def test_it_has_every_request_and_schema_and_no_script(app, client):
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in answer.text
    assert set(re.findall(r'id="(\w+)"', answer.text)) == set(document["components"]["schemas"])
    assert set(re.findall(r'href="#(\w+)"', answer.text)) <= set(document["components"]["schemas"])
    assert set(re.findall(r'(?:href|src)="([^#]+?)"', answer.text)) == {"page.css", "openapi.json"}
    assert "<script" not in answer.text


def test_types_say_their_limits_and_texts_are_escaped():
    operation = {
        "description": "a < b",
        "parameters": [
            {"name": "k", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 1, "maximum": 9}}
        ],
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/One"}}}},
        "responses": {"200": {"description": "<b>"}},
    }
    fields = {
        "ids": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "maxItems": 5},
        "kind": {"enum": ["a", "<"], "default": "a"},
        "columns": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    document = {
        "info": {"title": "<T>"},
        "paths": {"/x/{id}": {"post": operation}},
        "components": {"schemas": {"One": {"properties": fields, "description": "&"}}},
    }
    text = page(document)
    assert "<td>integer (from 1, to 9)</td><td>required. </td>" in text
    assert 'Body: <a href="#One">One</a>' in text
    assert "array of integer or string (items to 5)" in text
    assert "&quot;a&quot; or &quot;&lt;&quot; (default &quot;a&quot;)" in text
    assert "object of string" in text
    assert "<h1>&lt;T&gt;</h1>" in text
    assert "a &lt; b" in text
    assert "200: &lt;b&gt;" in text
