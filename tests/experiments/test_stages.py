"""Which parameters decide the result of a model, by the pipeline of this repository."""

from retrieval.errors import Problem
from retrieval.experiments.repository import flat
from retrieval.experiments.stages import check_read, read_by
from retrieval.params import load

import pytest
from repositories import ROOT

NAMES = flat(load(ROOT / "params.yaml"))


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("model", "own", "others"),
    [
        ("ease", "baselines.ease.items", ["loss", "baselines.ials.factors", "sasrec.epochs", "index.users", "models"]),
        ("dssm", "towers.width", ["baselines.ease.items", "lightfm.loss", "index.users", "peers"]),
        ("lightfm", "lightfm.loss", ["loss", "lightfm"]),
        ("popular", "seed", ["loss", "baselines.ease.items"]),
        ("sasrec", "sasrec.layers", ["loss", "item", "lightfm.loss"]),
        ("a-system-from-elsewhere", "evaluate.candidates", ["loss", "sasrec.epochs", "models", "peers"]),
    ],
)
def test_a_model_reads_the_parameters_of_its_stages_and_of_those_of_the_data(model, own, others):
    read = set(read_by(model, NAMES))
    assert {own, "data", "split.days", "positives.min_value", "filter.enabled", "columns.text", "evaluate.ks"} <= read
    assert not {*others} & read


def test_a_parameter_that_a_model_does_not_read_is_refused_with_those_that_it_reads():
    check_read("ease", ["baselines.ease.items", "filter.enabled", "baselines", "seed"], NAMES)
    with pytest.raises(Problem) as refusal:
        check_read("lightfm", ["lightfm.epochs", "loss"], NAMES)
    start = "loss: has no effect on lightfm, whose stages do not read it; expected one of lightfm.components, "
    assert str(refusal.value).startswith(start)
    assert str(refusal.value).endswith("did you mean 'lightfm.loss'?")
