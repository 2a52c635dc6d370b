"""What the user reads about a value that is not one of the valid ones."""

from retrieval.errors import choices


def test_choices_name_all_and_the_nearest():
    assert choices("bp", ["triplet", "bpr"]) == "expected one of triplet, bpr; did you mean 'bpr'?"
    assert choices("zzz", ["triplet", "bpr"]) == "expected one of triplet, bpr"


def test_of_many_choices_some_are_listed_and_the_nearest_of_all_is_found():
    options = [f"value {i}" for i in range(10_000)]
    text = choices("value 9999x", [*reversed(options)])
    assert text.startswith("expected one of value 9999, value 9998, ")
    assert text.endswith("value 9980 and 9,980 more; did you mean 'value 9999'?")
    assert len(text) < 400
