"""One experiment per fold and seed, as `search` and `compare` run them: for one model, and never twice.

The name of an experiment contains a hash of all that decides its result: code, pipeline and parameters. Where one of
that name exists, its result is taken.
"""

import base64
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from check import CheckParams
from retrieval.errors import Problem, choices
from retrieval.evaluation.joining import VALUES, join_files, read_users, read_values, summary
from retrieval.evaluation.options import PEERS
from retrieval.experiments.copies import Experiment, Watch, find, take
from retrieval.experiments.repository import METRICS, PARAMS, Snapshot, call, committed
from retrieval.params import parse, validate
from retrieval.runs import INPUTS
from retrieval.sources import SOURCES
from retrieval.stage import write_json

import numpy as np
import yaml

EVALUATION, SEEDS = "data/evaluation", "seeds.json"


def targets(model: str) -> list[str]:
    """The stages that train and judge a model."""
    return [f"peers/dvc.yaml:evaluate@{model}" if model in PEERS else f"evaluate_{model}"]


@dataclass(frozen=True)
class Trial:
    """A model, and the parameters that differ from those of the snapshot: NAME=VALUE, as for `dvc exp run -S`."""

    snapshot: Snapshot
    model: str
    changes: tuple[str, ...]

    def changed(self, changes: Sequence[str]) -> "Trial":
        """The same with more parameters that differ."""
        return Trial(self.snapshot, self.model, (*self.changes, *changes))

    def at(self, fold: int) -> "Trial":
        """The same on a fold."""
        return self.changed([f"split.fold={fold}"])

    @cached_property
    def params(self) -> dict[str, Any]:
        """All parameters. Raises `Problem`, which names the changes, if the stage `check` would refuse them."""
        values = set_params(parse(self.snapshot.read(PARAMS)), self.changes)
        try:
            params = validate(CheckParams, values, everything=True)
            SOURCES[params.data].check(params)
        except Problem as problem:
            raise Problem(": ".join(filter(None, [" ".join(self.changes), str(problem)]))) from None
        return values

    @property
    def inputs(self) -> list[Path]:
        """The folders outside of git that its stages read."""
        folder = [self.params["folder"]] if self.params["data"] == "folder" else []
        return [Path(each) for each in [*folder, self.params["columns"]["text_model"]] if each]

    @cached_property
    def name(self) -> str:
        """The name of its experiment."""
        code = [self.snapshot.digest(path) for path in INPUTS if path != PARAMS]
        files = [file for folder in self.inputs for file in sorted(folder.rglob("*")) if file.is_file()]
        versions = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        content = json.dumps([self.params, code, targets(self.model), versions], sort_keys=True)
        digest = base64.b32encode(hashlib.sha256(content.encode()).digest()).decode().lower()[:8]
        return f"{self.model}-fold{self.params['split']['fold']}-{digest}"

    @property
    def experiment(self) -> Experiment:
        """What has to run."""
        return Experiment(
            self.snapshot, self.name, self.changes, targets(self.model), self.inputs, partial(join, model=self.model)
        )


def trial_of(snapshot: Snapshot, model: str) -> Trial:
    """A model with the parameters of a snapshot; one of PEERS is switched on."""
    return Trial(snapshot, model, (f"peers=[{model}]",) if model in PEERS else ())


def set_params(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """`values` with each NAME=VALUE set; raises `Problem` for an unknown name."""
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise Problem(f"{change}: expected NAME=VALUE")
        *sections, name = key.split(".")
        section: Any = values
        for each in sections:
            section = section.get(each, {})
            if not isinstance(section, dict):
                raise Problem(f"{change}: {each} is a value, not a section")
        if name not in section:
            raise Problem(f"{change}: unknown key; {choices(name, section)}")
        try:
            section[name] = parse(text)
        except (yaml.YAMLError, ValueError):
            raise Problem(f"{change}: {text!r} is not valid YAML") from None
    return values


def run_all(trials: Sequence[Trial], jobs: int, watches: Mapping[int, Watch] | None = None) -> list[str]:
    """Run the trials that have not run, `jobs` at a time; returns the references of their experiments.

    They share the cores. watches: index of a trial -> what looks at its copy while it runs. The first exception, of a
    trial or a watch, ends all.
    """
    stop, threads = threading.Event(), max(1, (os.cpu_count() or 1) // jobs)
    env = {} if jobs == 1 else {"OMP_NUM_THREADS": str(threads)}

    def run(index: int) -> str:
        trial = trials[index]
        if found := find(trial.name):
            return found

        def watch(root: Path) -> None:
            if stop.is_set():
                raise Stopped
            if watches and index in watches:
                watches[index](root)

        with take() as copy:
            return copy.run(trial.experiment, watch, env)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run, index) for index in range(len(trials))]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


class Stopped(Exception):
    """Another trial has failed, or was pruned."""


def metrics(reference: str, model: str) -> dict[str, float]:
    """Metric -> value of a model in an experiment."""
    return committed(reference, METRICS)[model]


def join(root: Path, model: str) -> None:
    """Write metrics/ and plots/ in the folder `root` as they are if a model is the only one."""
    for file in [*(root / "metrics").glob("*.json"), *(root / "plots").rglob("*.*")]:
        if file.name != SEEDS:
            file.unlink()
    folder = root / EVALUATION / model
    tables = join_files([folder / "metrics"], root / "metrics")
    join_files([folder / "plots"], root / "plots")
    write_json(root / "metrics" / "summary.json", summary(tables["metrics.json"]))


def per_user(reference: str, model: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Ids of the test users [users], ascending, and metric -> value [users] of a model in an experiment."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / model
        call("dvc", "get", ".", f"{EVALUATION}/{model}", "--rev", reference, "--out", os.fspath(out))
        values = read_values({model: out}, VALUES)[model]
        return read_users(out), {name: value for name, value in values.items() if value.ndim}
