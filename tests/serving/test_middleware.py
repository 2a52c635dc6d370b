"""What every request gets: an id, limits, a log line, counters."""

import json
import logging
import re

from retrieval.serving.middleware import JSONFormatter


def test_every_answer_has_a_request_id_and_none_says_where_files_are(client, world):
    assert client.get("/health", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    new = client.get("/health", headers={"x-request-id": 'a"b'}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", new)
    for path in ("/models", "/reco/no/1", "/openapi.json", "/metrics", "/"):
        assert str(world) not in client.get(path).text


def test_an_internal_error_is_logged_with_its_id_and_tells_the_client_nothing(app, client, monkeypatch, caplog):
    monkeypatch.setattr(app.state.service, "similar", lambda *_: {"items": [float("nan")]})
    answer = client.get("/similar/dssm/10", headers={"x-request-id": "broken"})
    assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
    assert any(getattr(record, "fields", {}).get("request_id") == "broken" for record in caplog.records)


def test_prometheus_counts_requests_by_route(client):
    client.get("/reco/dssm/15")
    text = client.get("/metrics").text
    labels = 'method="GET",model="dssm",route="/reco/{model}/{user_id}",status="200"'
    assert f"retrieval_requests_total{{{labels}}}" in text
    assert 'retrieval_request_seconds_bucket{le="0.001",model="dssm",route="/reco/{model}/{user_id}"}' in text


def test_a_log_record_is_one_line_of_json():
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "two\nlines é", (), None)
    record.fields = {"status": 200}
    text = JSONFormatter().format(record)
    assert len(text.splitlines()) == 1
    line = json.loads(text)
    assert (line["level"], line["message"], line["status"]) == ("info", "two\nlines é", 200)


def test_paths_without_a_route_and_unknown_models_share_one_label(client):
    client.get("/invented-by-a-client")
    client.get("/reco/invented-by-a-client/15")
    text = client.get("/metrics").text
    assert "invented-by-a-client" not in text
    assert 'retrieval_requests_total{method="any",model="none",route="none",status="404"}' in text
    assert 'model="none",route="/reco/{model}/{user_id}",status="404"' in text
