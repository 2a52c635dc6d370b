"""What the user reads about a value that is not one of the valid ones."""

from retrieval.errors import choices


def test_choices_name_all_and_the_nearest():
    assert choices("bp", ["triplet", "bpr"]) == "expected one of triplet, bpr; did you mean 'bpr'?"
    assert choices("zzz", ["triplet", "bpr"]) == "expected one of triplet, bpr"
