"""The schemas: whatever is asked, the answer has the status and the shape that the OpenAPI schema promises."""

import json
import re

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from worlds import COLUMNS, MODELS, ODD

NAMES = [*MODELS, "x", "%00"]

integers = st.integers() | st.integers(min_value=0, max_value=160).map(lambda i: 7 * i + 3) | st.just(15)
scalars = (
    st.none() | st.booleans() | integers | st.floats() | st.text(max_size=5) | st.sampled_from(["age", "old", "F"])
)
ids = integers | st.sampled_from(ODD) | st.text(max_size=5)
visits = st.fixed_dictionaries({"item_id": ids}, optional={"date": st.datetimes().map(str) | scalars})
profiles = st.fixed_dictionaries(
    {},
    optional={
        "history": st.lists(visits | scalars, max_size=5) | scalars,
        "demographics": st.dictionaries(
            st.sampled_from(["age", "sex", "x"]), scalars | st.lists(scalars, max_size=3), max_size=3
        )
        | scalars,
        "k": scalars,
        "exclude_seen": scalars,
        "user_id": ids | scalars,
        "only": st.lists(ids | scalars, max_size=5) | scalars,
        "without": st.lists(ids | scalars, max_size=5) | scalars,
        "where": st.dictionaries(
            st.sampled_from([*COLUMNS, "x"]),
            st.sampled_from(["red", "green", "0-10", "0", 0, "x"]) | scalars | st.lists(scalars, max_size=3),
            max_size=3,
        )
        | scalars,
    },
)


def check_profiles(client: httpx.Client, count: int) -> None:
    """Ask for the recommendations of `count` random profiles: none causes an internal error."""

    @settings(max_examples=count)
    @given(st.sampled_from(NAMES), profiles | scalars)
    def check(name: str, profile: object) -> None:
        body = json.dumps(profile).encode("utf-8", "surrogatepass")
        answer = client.post(f"/reco/{name}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 404, 422), answer.text
        json.loads(answer.text, parse_constant=pytest.fail)
        assert not re.search("constrained|union", answer.text), answer.text  # pydantic's terms

    check()


@pytest.mark.parametrize("name", ["client", "text_client"])
def test_no_profile_causes_an_internal_error(request, name):
    check_profiles(request.getfixturevalue(name), 300)


@pytest.mark.slow
def test_none_of_ten_thousand_profiles_causes_an_internal_error(client):
    check_profiles(client, 10_000)


def check_openapi(app: FastAPI, count: int) -> None:
    """Send `count` requests that the OpenAPI schema allows or forbids, over all routes; check status and schema."""
    operations = [one.ok() for one in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()]
    assert len(operations) == 15
    checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
    bare = {"/health", "/ready", "/version", "/models", "/metrics", "/items/columns"}  # no parameters to get wrong
    cases = [(one, mode) for one in operations for mode in GenerationMode if mode.is_positive or one.path not in bare]

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(cases).flatmap(lambda way: way[0].as_strategy(generation_mode=way[1])))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks)

    check()


@pytest.mark.parametrize("name", ["app", "text_app"])
def test_answers_match_the_openapi_schema(request, name):
    check_openapi(request.getfixturevalue(name), 300)


def test_ids_are_integers_or_text_in_the_openapi_schema(client):
    schema = client.get("/openapi.json").json()
    (asked,) = [
        one for one in schema["paths"]["/reco/{model}/{user_id}"]["get"]["parameters"] if one["name"] == "user_id"
    ]
    integer = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert asked["schema"]["anyOf"] == [integer, {"type": "string", "minLength": 1, "maxLength": 200}]
    answer = schema["components"]["schemas"]["Recommendations"]["properties"]
    assert answer["items"]["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert "/users/{user_id}/history" in schema["paths"]


@pytest.mark.slow
def test_ten_thousand_answers_match_the_openapi_schema(app):
    check_openapi(app, 10_000)
