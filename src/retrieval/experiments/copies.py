"""Copies of the repository, in which experiments run side by side while the work tree is left alone.

A copy is a clone in .dvc/tmp/copies that shares git's objects and DVC's cache with this repository. What ran in one is
restored in all, and an experiment that is fetched from it can be applied here.
"""

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.repository import FOOTER, PARAMS, Snapshot, call

from dvc.utils.hydra import apply_overrides

COPIES = Path(".dvc/tmp/copies")
Watch = Callable[[Path], None]
SECONDS = 0.5  # between two looks at a running experiment


@dataclass(frozen=True)
class Experiment:
    """What runs in a copy: stages, with NAME=VALUE set for each of the changes.

    inputs: folders that stages read and git may ignore. join(folder): called with the folder of the copy after the
    stages, to write metrics/ and plots/.
    """

    snapshot: Snapshot
    name: str
    changes: Sequence[str]
    targets: Sequence[str]
    inputs: Sequence[Path]
    join: Callable[[Path], None]


def find(name: str) -> str | None:
    """The reference of an experiment, the newest if several commits have one of this name, or None."""
    newest = ("--count=1", "--sort=-committerdate")
    return call("git", "for-each-ref", *newest, "--format=%(refname)", f"refs/exps/**/{name}").strip() or None


@dataclass(frozen=True)
class Copy:
    """A clone. `lock` is an open file that no other process has locked."""

    root: Path
    lock: int

    def run(self, experiment: Experiment, watch: Watch, env: Mapping[str, str]) -> str:
        """Run an experiment here, and fetch it; returns its reference.

        `watch` is called with the folder of the copy while stages run; an exception that it raises ends them. `env`
        adds environment variables. Raises `Problem` with the line of the stage that failed.
        """
        self._prepare(experiment.snapshot)
        for path in experiment.inputs:
            if not path.is_absolute():
                shutil.rmtree(self.root / path, ignore_errors=True)
                shutil.copytree(path, self.root / path, copy_function=_link)
        apply_overrides(os.fspath(self.root / PARAMS), list(experiment.changes))
        self._reproduce(experiment, watch, env)
        experiment.join(self.root)
        reference = self._save(experiment)
        call("git", "fetch", "--quiet", os.fspath(self.root), f"+{reference}:{reference}")
        self._mark.unlink()
        return reference

    def _save(self, experiment: Experiment) -> str:
        """Save the files as an experiment; returns the reference.

        To DVC, an experiment is a commit whose parent is the baseline, under refs/exps/BASELINE/NAME. `dvc exp save`
        takes seconds, and adds a temporary file of its own.
        """
        baseline = experiment.snapshot.commit
        reference = f"refs/exps/{baseline[:2]}/{baseline[2:]}/{experiment.name}"
        call("git", "add", "--all", root=self.root)
        tree = call("git", "write-tree", root=self.root).strip()
        message = f"dvc: commit experiment {experiment.name}"
        commit = call("git", "commit-tree", tree, "-p", baseline, "-m", message, root=self.root).strip()
        call("git", "update-ref", reference, commit, root=self.root)
        return reference

    def _reproduce(self, experiment: Experiment, watch: Watch, env: Mapping[str, str]) -> None:
        with self.root.with_suffix(".log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                ["dvc", "repro", *experiment.targets],
                cwd=self.root, env={**env, **os.environ}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, pass_fds=[self.lock], start_new_session=True,
            )  # fmt: skip
            try:
                while not _ended(process):
                    watch(self.root)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
            log.seek(0)
            if process.returncode:
                raise Problem(f"{' '.join(experiment.changes)}: {_reason(log.read().splitlines())}")

    def _prepare(self, snapshot: Snapshot) -> None:
        """Put the files of the snapshot here. A copy in which a run has not come to its end is made anew."""
        whole = self.root.exists() and not self._mark.exists()
        self._mark.touch()
        if not whole:
            self._make()
        call("git", "checkout", "--quiet", "--force", "--detach", snapshot.commit, root=self.root)
        call("git", "clean", "--quiet", "-d", "--force", root=self.root)
        call("git", "read-tree", "-m", "-u", snapshot.tree, root=self.root)

    def _make(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        call("git", "clone", "--quiet", "--shared", "--no-checkout", os.fspath(Path.cwd()), os.fspath(self.root))
        for key in ("user.name", "user.email"):
            if value := call("git", "config", "--default", "", key).strip():
                call("git", "config", key, value, root=self.root)
        local, cache = Path(".dvc/config.local"), call("dvc", "cache", "dir").strip()
        call("git", "checkout", "--quiet", "--detach", root=self.root)
        if local.exists():
            shutil.copy(local, self.root / local)
        call("dvc", "cache", "dir", "--local", os.path.abspath(cache), root=self.root)

    @property
    def _mark(self) -> Path:
        """A file that is there from the start of a run to its end."""
        return self.root.with_suffix(".running")


@contextmanager
def take() -> Iterator[Copy]:
    """The first copy that no run uses. Its lock lasts as long as any process of the run, even if this one is killed."""
    COPIES.mkdir(parents=True, exist_ok=True)
    for number in count():
        root = (COPIES / str(number)).absolute()
        lock = os.open(root.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield Copy(root, lock)
        finally:
            os.close(lock)
        return


def _link(path: str, copy: str) -> None:
    """A second name for a file, which takes no space, or a copy on another disk."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copy2(path, copy)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ends within a moment."""
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _reason(lines: list[str]) -> str:
    """The line of the stage that failed, before DVC's own; else DVC's."""
    lines = [line for line in lines if line.strip() and FOOTER not in line]
    failed = next((i for i, line in enumerate(lines) if "failed to reproduce" in line), None)
    return lines[-1 if not failed else failed - 1] if lines else "dvc repro failed and said nothing"
