"""The comparison over folds and seeds: numbers by hand, the interval by a slow twin, the command with the real DVC."""

import json

from retrieval.errors import Problem
from retrieval.experiments.compare import compare, contender, holm, render, sample_means, summary
from retrieval.experiments.repository import work_tree
from retrieval.experiments.trials import Trial

import numpy as np
import pytest
import repositories
from repositories import metrics, python, run

COMMAND = ("-m", "retrieval.experiments.compare")


def cells(seed: int, shift: float, users=40):
    """Two folds and two seeds of random values; each fold has other users, and half of them are in both."""
    rng = np.random.default_rng(seed)
    ids = {1: np.arange(users), 2: np.arange(users // 2, users // 2 + users)}
    return {(fold, s): (ids[fold], rng.random(users) + shift) for fold in (1, 2) for s in (42, 43)}


def twin(one, other, resamples, seed):
    """The sampled differences, user by user: a user is drawn with all of its cells."""
    every = sorted({user for users, _ in one.values() for user in users.tolist()})
    draws = np.random.default_rng(seed).integers(0, len(every), (resamples, len(every)))
    samples = []
    for draw in draws:
        means = []
        for cell, (users, values) in one.items():
            gap = {user: a - b for user, a, b in zip(users.tolist(), values, other[cell][1], strict=True)}
            drawn = [gap[every[place]] for place in draw if every[place] in gap]
            means.append(sum(drawn) / len(drawn))
        samples.append(sum(means) / len(means))
    return samples


def test_the_interval_is_that_of_a_slow_twin():
    one, other = cells(1, 0.1), cells(2, 0.0)
    samples = twin(one, other, 200, 7)
    result = compare({"one": one, "other": other}, 200, 7)["other"]
    low, high = np.quantile(samples, [0.025, 0.975])
    assert (result.low, result.high) == (pytest.approx(low, abs=1e-7), pytest.approx(high, abs=1e-7))
    tail = min(sum(each <= 0 for each in samples), sum(each >= 0 for each in samples))
    assert result.p == pytest.approx(2 * (1 + tail) / 201)
    assert result.difference == pytest.approx(summary(one)[0] - summary(other)[0])


def test_the_interval_covers_the_true_difference():
    """Of 100 worlds whose true difference is 0.1, about 95 intervals contain it."""
    hits = 0
    for world in range(100):
        result = compare({"one": cells(2 * world, 0.1), "other": cells(2 * world + 1, 0.0)}, 200, world)["other"]
        hits += result.low <= 0.1 <= result.high
    assert 88 <= hits <= 99


def test_a_user_who_is_not_in_a_fold_counts_in_the_others_only():
    """Fold 1 has the mean (1 + 3) / 2, fold 2 that of the second user alone, 5: together 3.5."""
    gaps = np.array([[1.0, np.nan], [3.0, 5.0]])
    samples = sample_means(gaps, 64, np.random.default_rng(0))
    assert set(np.round(samples, 6)) <= {3.5, 4.0, 0.5}, "both, the second twice, and the first twice"
    same = {(1, 42): (np.array([0, 1]), np.array([1.0, 3.0])), (2, 42): (np.array([1]), np.array([5.0]))}
    zero = {cell: (users, values * 0) for cell, (users, values) in same.items()}
    assert compare({"one": same, "other": zero}, 64, 0)["other"].difference == pytest.approx(3.5)


def test_p_values_are_corrected_as_holm_says():
    """The smallest times 3, the next times 2, the largest times 1, and never less than the one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


def test_mean_and_deviation_by_hand():
    """The seeds have the means over folds 2 and 4: mean 3, deviation sqrt(2)."""
    user = np.array([0])
    values = {(1, 42): 1.0, (2, 42): 3.0, (1, 43): 3.0, (2, 43): 5.0}
    assert summary({cell: (user, np.array([value])) for cell, value in values.items()}) == (3.0, pytest.approx(2**0.5))


def test_a_verdict_needs_a_difference_and_is_of_the_first():
    results = {"a": cells(1, 0.5), "b": cells(2, 0.0), "c": cells(3, 0.5)}
    text = render(results, compare(results, 200, 0), "map@10")
    assert "a against b: better" in text
    assert "a against c: no difference shown" in text
    assert "p (Holm)" in text
    backwards = {name: results[name] for name in "ba"}
    assert "b against a: worse" in render(backwards, compare(backwards, 200, 0), "map@10")


def test_other_users_are_refused():
    with pytest.raises(Problem, match="a and b: other test users in fold 1; expected the same data and split"):
        compare({"a": cells(1, 0.0), "b": cells(1, 0.0, users=30)}, 50, 0)


def test_the_command_runs_what_is_missing_and_prints_a_verdict(project):
    command = [*COMMAND, "loss=bpr", "workspace", "--folds", "1", "--seeds", "2", "--json"]
    first = python(project, *command)
    assert first.stderr.splitlines()[0] == "compare: 4 of 4 experiments have to run"
    report = json.loads(first.stdout)
    bpr, own = report["loss=bpr"], report["workspace"]
    assert bpr["deviation"] > 0
    assert own["low"] <= own["difference"] <= own["high"]
    assert own["difference"] == pytest.approx(bpr["mean"] - own["mean"])
    assert own["verdict"] in ("better", "worse", "no difference shown")
    again = python(project, *command)
    assert again.stderr.splitlines()[0] == "compare: 0 of 4 experiments have to run"
    assert again.stdout == first.stdout
    assert run(project, "git", "status", "--porcelain").stdout == "", "the work tree is left alone"
    names = run(project, "dvc", "exp", "list", "--name-only").stdout.split()
    assert len(names) == 4
    means = []
    for name in names:
        run(project, "dvc", "exp", "apply", name)
        means.append(metrics(project)["dssm"]["map@10"])
    assert np.mean(means) == pytest.approx((bpr["mean"] + own["mean"]) / 2, rel=1e-5)


def test_what_can_be_compared(base, tmp_path):
    """Settings, a model, the work tree, a revision with its own code, an experiment with its own parameters."""
    (tmp_path / "src" / "new.py").write_text("a = 1")
    repositories.commit(tmp_path, "New code")
    head = run(tmp_path, "git", "rev-parse", "HEAD").stdout.strip()
    here = work_tree()
    assert contender("loss=bpr train.epochs=20", here, "dssm").changes == ("loss=bpr", "train.epochs=20")
    assert contender("ease", here, "dssm") == Trial(here, "ease", ())
    assert contender("workspace", here, "dssm") == Trial(here, "dssm", ())
    assert contender("HEAD~1", here, "ease") == Trial(base.snapshot, "ease", ())
    run(tmp_path, "sh", "-c", "sed -i 's/^loss: softmax/loss: bpr/' params.yaml && git commit -qam experiment")
    run(tmp_path, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/mine", "HEAD")
    run(tmp_path, "git", "reset", "--quiet", "--hard", head)
    mine = contender("mine", here, "dssm")
    assert mine.snapshot.commit == head
    assert mine.params["loss"] == "bpr"
    with pytest.raises(Problem, match="nowhere: no such model, experiment or revision"):
        contender("nowhere", here, "dssm")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["loss=bpr", "loss=bprr"], "loss=bprr: params.yaml: loss: 'bprr' is not valid"),
        (["loss=bpr", "losss=ccl"], "losss=ccl: unknown key; expected one of"),
        (["loss=bpr", "workspace", "--model", "ease"], "loss: has no effect on ease"),
        (["loss=bpr", "nowhere"], "nowhere: no such model, experiment or revision"),
        (["loss=bpr"], "expected two or more to compare"),
        (["loss=bpr", "workspace", "--folds", "0,1"], "--folds: 0 is the test, and a choice must not see it"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(finished, arguments, reason):
    process = python(finished, *COMMAND, *arguments, code=1)
    assert reason in process.stderr
    assert len(process.stderr.splitlines()) == 1
