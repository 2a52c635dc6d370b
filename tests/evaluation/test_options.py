"""Which further models params.yaml may name."""

from pathlib import Path

from evaluate import EvaluateParams
from retrieval.errors import Problem
from retrieval.evaluation import options
from retrieval.params import load, validate

import pytest

VALUES = load(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Package -> anything, if it is installed."""
    found: dict[str, object] = {}
    monkeypatch.setattr(options, "find_spec", found.get)
    return found


def test_a_peer_whose_packages_are_missing_is_refused_and_the_remedy_named(installed):
    assert validate(EvaluateParams, VALUES).peers == []
    with pytest.raises(Problem, match=r"peers: sasrec needs .* not installed: make .venv/ready-sasrec$"):
        validate(EvaluateParams, VALUES | {"peers": ["sasrec"]})
    installed["pytorch_lightning"] = True
    assert validate(EvaluateParams, VALUES | {"peers": ["sasrec"]}).peers == ["sasrec"]


@pytest.mark.parametrize(
    ("peers", "reason"),
    [
        (["sasrek"], "peers.0: 'sasrek' is not valid: .*did you mean 'sasrec'"),
        (["sasrec"] * 2, "peers: sasrec appears twice"),
    ],
)
def test_unknown_and_repeated_peers_are_refused(installed, peers, reason):
    installed["pytorch_lightning"] = True
    with pytest.raises(Problem, match=reason):
        validate(EvaluateParams, VALUES | {"peers": peers})
