"""The space of a search: its forms, and what is refused before anything runs."""

from retrieval.errors import Problem
from retrieval.experiments.space import check_space, read_dimension

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution


@pytest.mark.parametrize(
    ("text", "values", "ends"),
    [
        ("towers.width=int(32,256,log)", IntDistribution(32, 256, log=True), ("32", "256")),
        ("towers.layers=int( 1, 3 )", IntDistribution(1, 3), ("1", "3")),
        ("train.clip=float(0.5,2)", FloatDistribution(0.5, 2.0), ("0.5", "2")),
        ("train.learning_rate=float(1e-4, 1e-2, log)", FloatDistribution(1e-4, 1e-2, log=True), ("1e-4", "1e-2")),
        ("loss=softmax,bpr", CategoricalDistribution(("softmax", "bpr")), ("softmax", "bpr")),
        ("train.patience=auto", CategoricalDistribution(("auto",)), ("auto",)),
        ("trend.windows=[1,7],[3]", CategoricalDistribution(("[1,7]", "[3]")), ("[1,7]", "[3]")),
    ],
)
def test_a_dimension_is_a_range_or_a_list(text, values, ends):
    dimension = read_dimension(text)
    assert (dimension.name, dimension.values, dimension.ends) == (text.partition("=")[0], values, ends)


@pytest.mark.parametrize("values", ["", "a,,b", "int(1)", "int(1.5,3)", "float(1,x)", "int(1,9,square)", "int(9,1)"])
def test_another_form_is_refused(values):
    with pytest.raises(Problem, match=r"expected NAME=int\(LOW,HIGH\)"):
        read_dimension(f"x={values}")


@pytest.mark.parametrize("name", ["split.fold", "seed"])
def test_folds_and_seeds_are_not_searched(name):
    with pytest.raises(Problem, match=f"{name}=1,2: cannot be searched"):
        read_dimension(f"{name}=1,2")


def test_a_float_has_four_digits_and_stays_in_its_range():
    assert read_dimension("x=float(0.1,1)").setting(0.123456) == "x=0.1235"
    assert read_dimension("x=float(0.1,0.99999)").setting(0.99999) == "x=0.99999"
    assert read_dimension("x=int(1,9)").setting(3) == "x=3"


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (["losss=bpr"], "losss=bpr: unknown key"),
        (["loss=bpr,bprr"], "loss=bprr: params.yaml: loss: 'bprr' is not valid"),
        (["towers.dropout=float(0,1.5)"], "towers.dropout=1.5: params.yaml: towers.dropout"),
        (["loss=bpr", "loss=ccl"], "loss: appears twice"),
        (["loss=bpr,triplet", "towers.temperature=0.5,1.0"], "loss=triplet towers.temperature=0.5: params.yaml: loss="),
    ],
)
def test_the_space_is_checked_against_the_schema(base, space, reason):
    with pytest.raises(Problem) as refusal:
        check_space(base, [read_dimension(each) for each in space])
    assert reason in str(refusal.value)
    check_space(base, [read_dimension("loss=bpr,softmax"), read_dimension("towers.width=int(32,256,log)")])
