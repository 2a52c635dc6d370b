"""Search for the parameters with the highest MAP, as the mean over folds of the validation.

Optuna's TPE proposes; each trial is one experiment of DVC per fold. The same command continues a search that was
interrupted, and with more --trials one that was not. No proposal depends on the number of jobs.
"""

import argparse
import hashlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.arguments import add_options, check_options, number
from retrieval.experiments.repository import command, first_map, work_tree
from retrieval.experiments.space import Dimension, check_space, read_dimension
from retrieval.experiments.trials import Trial, metrics, run_all, trial_of
from retrieval.training.checkpoints import history_so_far

import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState

FOLDER = Path("searches")
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
FAILURES = 3  # in a row end a search
STARTUP = 5  # as many trials are completed before one is pruned, and as many epochs of it


def main() -> None:
    """Run the trials that are missing; print the best one."""
    parser = argparse.ArgumentParser(prog="search", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("space", nargs="+", metavar="NAME=VALUES", help="int(1,9), float(1e-4,1e-2,log) or a,b,c")
    trials = partial(number, int, "--trials", 1)
    parser.add_argument("--trials", type=trials, default=20, help="number of trials, in all (default: 20)")
    add_options(parser)
    options = parser.parse_args()
    base, space = trial_of(work_tree(), options.model), [read_dimension(each) for each in options.space]
    check_options(options, base.snapshot)
    check_space(base, space)
    search = Search(base, space, options.folds, options.jobs)
    search.run(options.trials)
    print(search.report())


@dataclass
class Search:
    """A study of Optuna, and the experiments that are its trials."""

    base: Trial
    space: Sequence[Dimension]
    folds: Sequence[int]
    jobs: int

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        names = [self.base.at(fold).name for fold in self.folds] + [repr(each) for each in self.space]
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:10]
        self.folder = FOLDER / f"{self.base.model}-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.study = optuna.create_study(
            storage=f"sqlite:///{self.folder / 'study.db'}",
            study_name=self.folder.name,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=STARTUP),
            load_if_exists=True,
        )

    def run(self, trials: int) -> None:
        """Run until there are so many trials, those of an earlier call included."""
        for stale in self.study.get_trials(states=[TrialState.RUNNING]):
            self.study.enqueue_trial(stale.params, {"again": True})
            self.study.tell(stale.number, state=TrialState.FAIL)
        if done := len(self._done()):
            say(f"{self.folder}: {done} trials are done")
        failures = 0
        while len(self._done()) < trials:
            proposal, candidate = self._propose()
            outcome = self._evaluate(proposal, candidate)
            say(f"trial {len(self._done())} of {trials}: {outcome}: {' '.join(candidate.changes)}")
            failures = failures + 1 if outcome.startswith("failed") else 0
            if failures == FAILURES:
                raise Problem(f"{FAILURES} trials in a row {outcome}")

    def report(self) -> str:
        """The best trial, and what to type to use it."""
        complete = self.study.get_trials(states=[TrialState.COMPLETE])
        if not complete:
            raise Problem(f"no trial was completed; {self.folder} has {len(self._done())} that were not")
        best = self.study.best_trial.user_attrs
        values = ", ".join(f"{value:.4f}" for value in best["values"])
        settings = " ".join(f"-S {shlex.quote(change)}" for change in best["changes"])
        lines = [
            f"Best of {len(self._done())} trials: {best['metric']} {self.study.best_value:.4f}"
            f" (folds {', '.join(map(str, self.folds))}: {values})",
            f"  {' '.join(best['changes'])}",
            "Next:",
            f"  dvc exp run {settings}    what the test says, once",
            f"  dvc exp apply {best['names'][0]}    fold {self.folds[0]} of it, in the work tree",
        ]
        if shares := importance(self.study):
            draw_importance(self.folder / "importance.png", shares)
            lines.append(f"  {self.folder / 'importance.png'}    which parameter mattered")
        elif len(complete) > 1:
            lines.append("All trials scored the same: no parameter mattered, and no importance is drawn")
        return "\n".join(lines)

    def _done(self) -> list[optuna.trial.FrozenTrial]:
        """The trials that count: those that were completed, pruned, or failed while they ran."""
        trials = self.study.get_trials(deepcopy=False)
        return [each for each in trials if each.state in ENDED or "failed" in each.user_attrs]

    def _propose(self) -> tuple[optuna.Trial, Trial]:
        """A proposal that is valid. Optuna forgets one that is not, such as an odd width between two even ones.

        Each has a sampler of its own, so that an interruption changes none.
        """
        while True:
            number = sum("again" not in each.user_attrs for each in self.study.get_trials(deepcopy=False))
            self.study.sampler = optuna.samplers.TPESampler(seed=self.base.params["seed"] + number)
            proposal = self.study.ask({each.name: each.values for each in self.space})
            candidate = self.base.changed([each.setting(proposal.params[each.name]) for each in self.space])
            try:
                proposal.set_user_attr("name", candidate.name)
            except Problem:
                self.study.tell(proposal, state=TrialState.FAIL)
                continue
            return proposal, candidate

    def _evaluate(self, proposal: optuna.Trial, candidate: Trial) -> str:
        """Run it on all folds and tell Optuna; returns the outcome in words."""
        trials, reported = [candidate.at(fold) for fold in self.folds], 0

        def prune(root: Path) -> None:
            nonlocal reported
            curve = [line for line in history_so_far(root) if "validation" in line]
            for line in curve[reported:]:
                proposal.report(line["validation"], int(line["epoch"]))
            reported = len(curve)
            if proposal.should_prune():
                raise optuna.TrialPruned

        state, value, outcome = TrialState.COMPLETE, None, ""
        try:
            results = [metrics(each, candidate.model) for each in run_all(trials, self.jobs, {0: prune})]
            metric = first_map(results[0])
            values = [result[metric] for result in results]
            value = float(np.mean(values))
            names = [trial.name for trial in trials]
            for key, each in {"metric": metric, "values": values, "names": names, "changes": candidate.changes}.items():
                proposal.set_user_attr(key, each)
            outcome = f"{metric} {value:.4f}"
        except optuna.TrialPruned:
            state, outcome = TrialState.PRUNED, f"pruned after {reported} epochs"
        except Problem as problem:
            state, outcome = TrialState.FAIL, f"failed: {problem}"
            proposal.set_user_attr("failed", str(problem))
        self.study.tell(proposal, value, state)
        return outcome


def importance(study: optuna.Study) -> dict[str, float]:
    """The share of the variance of the objective that each parameter explains (fANOVA); empty if it has none."""
    try:
        shares = FanovaImportanceEvaluator(seed=0).evaluate(study)
    except RuntimeError:  # what Optuna raises if all values are equal
        return {}
    total = sum(shares.values())  # 0 where there is one trial, or one value of each parameter
    return {name: share / total for name, share in shares.items()} if total else {}


def draw_importance(path: Path, shares: Mapping[str, float]) -> None:
    """The importance of each parameter, as bars."""
    names = list(shares)[::-1]
    figure = Figure(figsize=(6, 1 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [shares[name] for name in names])
    axes.set_xlabel("share of the variance of the objective")
    axes.set_xlim(0, 1)
    figure.savefig(path, dpi=150)


def say(line: str) -> None:
    """A line about the progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    command(main)
