"""The search: on a planted objective, and with the real DVC, killed in the middle."""

import re
import signal
import subprocess
import sys
import time

from retrieval.errors import Problem
from retrieval.experiments import search as module
from retrieval.experiments.search import Search
from retrieval.experiments.space import read_dimension

import pytest
from repositories import environment, metrics, python, run

COMMAND = ("-m", "retrieval.experiments.search")
SPACE = ("towers.width=int(8,64)", "loss=softmax,bpr,ccl")
BEST = 24  # the planted width; of loss=softmax


class World:
    """Stands for the experiments: MAP by the parameters, and a curve of the validation that leads there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.curve: list[dict[str, float]] = []
        self.dies_at = self.fails_from = 10**9
        monkeypatch.setattr(module, "run_all", self.run_all)
        monkeypatch.setattr(module, "metrics", lambda reference, model: {"map@10": reference, "ndcg@10": 0.5})
        monkeypatch.setattr(module, "history_so_far", lambda root: self.curve)

    def run_all(self, trials, jobs, watches):
        params, values = trials[0].params, []
        self.ran.append(" ".join(trials[0].changes[:-1]))
        if len(self.ran) == self.dies_at:
            raise KeyboardInterrupt
        if len(self.ran) >= self.fails_from:
            raise Problem("out of memory")
        value = 0.5 - abs(params["towers"]["width"] - BEST) / 100 - 0.2 * (params["loss"] != "softmax")
        for trial in trials:
            values.append(value + trial.params["split"]["fold"] / 1000)
        for epoch in range(1, 11):
            self.curve = [{"epoch": each, "loss": 1.0, "validation": value * each / 10} for each in range(1, epoch + 1)]
            watches[0](None)
        return values


@pytest.fixture
def planted(monkeypatch) -> World:
    return World(monkeypatch)


def start(base, *space):
    return Search(base, [read_dimension(each) for each in space or SPACE], [1, 2, 3], 1)


def test_the_planted_optimum_is_found_and_the_objective_is_the_mean_over_folds(base, planted):
    search = start(base)
    search.run(25)
    report = search.report()
    best = search.study.best_trial
    assert best.params["loss"] == "softmax"
    assert abs(best.params["towers.width"] - BEST) <= 4
    value = 0.5 - abs(best.params["towers.width"] - BEST) / 100 + 0.002
    assert search.study.best_value == pytest.approx(value)
    assert f"Best of 25 trials: map@10 {value:.4f} (folds 1, 2, 3: {value - 0.001:.4f}, " in report
    assert f"dvc exp run -S towers.width={best.params['towers.width']} -S loss=softmax " in report
    assert f"dvc exp apply dssm-fold1-{'*'}"[:-1] in report
    assert (search.folder / "importance.png").stat().st_size > 1000


def test_a_width_that_the_schema_refuses_is_never_run(base, planted):
    start(base).run(12)
    assert len(planted.ran) == 12
    assert all(int(width) % 2 == 0 for ran in planted.ran for width in re.findall(r"width=(\d+)", ran))


def test_trials_below_the_median_are_pruned(base, planted, capsys):
    search = start(base)
    search.run(20)
    pruned = [each for each in search.study.trials if each.state.name == "PRUNED"]
    complete = [each for each in search.study.trials if each.state.name == "COMPLETE"]
    assert pruned
    assert len(pruned) + len(complete) == 20
    assert all(each.last_step >= 5 for each in pruned), "the first epochs are not judged"
    ends = [each.intermediate_values[each.last_step] * 10 / each.last_step for each in pruned]
    assert max(ends) < max(each.value for each in complete[:5])
    assert "pruned after" in capsys.readouterr().err


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(base, planted):
    start(base).run(9)
    whole, planted.ran = planted.ran, []
    for file in module.FOLDER.rglob("*"):
        if file.is_file():
            file.unlink()
    planted.dies_at = 7
    with pytest.raises(KeyboardInterrupt):
        start(base).run(9)
    planted.dies_at = 10**9
    start(base).run(8)
    start(base).run(9)
    assert planted.ran[:6] == whole[:6]
    assert planted.ran[7:] == whole[6:], "the trial that was interrupted runs again, no other does"


def test_another_space_is_another_search(base, planted):
    start(base).run(2)
    other = start(base, "towers.width=int(8,32)")
    other.run(1)
    assert len(planted.ran) == 3
    assert len(list(module.FOLDER.iterdir())) == 2


@pytest.mark.parametrize("space", ["losses.margin=0.1,0.2", "losses.margin=0.1"])
def test_where_all_trials_score_the_same_the_result_is_printed_and_no_importance_is_drawn(base, planted, space):
    search = start(base, space)
    search.run(3)
    lines = search.report().splitlines()
    assert lines[0].startswith("Best of 3 trials: map@10 0.")
    assert lines[2] == "Next:"
    assert lines[-1] == "All trials scored the same: no parameter mattered, and no importance is drawn"
    assert not (search.folder / "importance.png").exists()


def test_a_search_ends_after_three_failures_in_a_row(base, planted, capsys):
    planted.fails_from = 3
    with pytest.raises(Problem, match="3 trials in a row failed: out of memory"):
        start(base).run(12)
    assert len(planted.ran) == 5
    assert "trial 3 of 12: failed: out of memory: towers.width=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["losss=bpr"], "losss=bpr: unknown key"),
        (["loss=bpr", "--folds", "0"], "--folds: 0 is the test, and a choice must not see it"),
        (["loss=bpr", "--model", "eas"], "--model: unknown model 'eas'; expected one of"),
        (["loss=softmax,bpr", "--model", "ease"], "loss: has no effect on ease, whose stages do not read it"),
        (["loss=bpr", "--jobs", "0"], "--jobs: 0 is not valid: expected a whole number, 1 or more"),
        (["loss=bpr", "--trials", "0"], "--trials: 0 is not valid: expected a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(finished, arguments, reason):
    process = python(finished, *COMMAND, *arguments, code=1)
    assert reason in process.stderr
    assert len(process.stderr.splitlines()) == 1
    assert not (finished / "searches").exists()


@pytest.mark.slow
def test_a_search_that_is_killed_ends_with_the_optimum_and_the_winner_keeps_its_promise(project):
    """Twelve trials of three values: equal trials are one experiment. The optimum is far from both ends."""
    space = "baselines.ease.regularization=3,60,20000"
    command = [*COMMAND, "--model", "ease", "--folds", "1,2", "--trials", "12", "--jobs", "1", space]
    variables = environment(project) | {"PYTHONPATH": str(project / "src")}
    process = subprocess.Popen([sys.executable, *command], cwd=project, env=variables, stderr=subprocess.DEVNULL)
    while len(before := experiments(project)) < 3:
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = python(project, *command)
    after = experiments(project)
    assert before.items() <= after.items(), "what has run does not run again"
    assert len(after) == 6, "two folds of three values"
    assert done.stderr.splitlines()[-1].startswith("trial 12 of 12: map@10 ")
    promised, *folds = map(float, re.findall(r"0\.\d{4}", done.stdout.splitlines()[0]))
    assert "dvc exp run -S baselines.ease.regularization=60 " in done.stdout
    assert run(project, "git", "status", "--porcelain").stdout == ""
    for fold, value in enumerate(folds, start=1):
        [name] = [name for name in after if f"fold{fold}" in name and "regularization: 60\n" in params(project, name)]
        assert fold > 1 or f"dvc exp apply {name} " in done.stdout
        run(project, "dvc", "exp", "apply", name)
        assert metrics(project)["ease"]["map@10"] == pytest.approx(value, abs=5e-5)
    assert promised == pytest.approx(sum(folds) / 2, abs=1e-4)


def experiments(root) -> dict[str, str]:
    """Name -> commit of each experiment."""
    lines = run(root, "git", "for-each-ref", "--format=%(refname:lstrip=-1) %(objectname)", "refs/exps").stdout
    return dict(line.split() for line in lines.splitlines() if "-fold" in line)


def params(root, name) -> str:
    """params.yaml of an experiment, with one space after each colon."""
    reference = run(root, "git", "for-each-ref", "--format=%(refname)", f"refs/exps/**/{name}").stdout.strip()
    return re.sub(r" +#.*", "", run(root, "git", "show", f"{reference}:params.yaml").stdout)
