"""`make repro`: run `dvc repro` without its hints, then print the results and the next steps.

DVC hints at `git add` after every run, and at `dvc push`, for which there is no remote. No setting silences them.
"""

import json
import logging
from pathlib import Path

from retrieval.errors import Problem
from retrieval.experiments.leaderboard import sort_rows
from retrieval.experiments.repository import METRICS, command
from retrieval.experiments.rows import Row

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.ui import ui
from tabulate import tabulate

COLUMNS = ("map", "ndcg", "recall", "novelty", "coverage")
NEXT = """\
Next:
  source .venv/bin/activate && dvc exp run -S loss=bpr    an experiment: the same with another loss
  make leaderboard                                        all experiments and models, best first
  make serve                                              recommendations over HTTP, with a demo page
"""


def main() -> None:
    """Run the pipeline and print its results."""
    reproduce()
    print(f"\n{table(Path(METRICS))}\n\n{NEXT}", end="")


def reproduce() -> None:
    """Run what has changed. Raises `Problem` with DVC's message if a stage fails; the stage itself says why."""
    logging.getLogger("dvc.repo.scm_context").setLevel(logging.WARNING)
    ui.enable()
    try:
        with Repo() as repo:
            repo.reproduce()
    except DvcException as error:
        reasons = [str(each) for each in (error, error.__cause__) if each]
        raise Problem(f"dvc repro: {': '.join(reasons)}") from None


def table(path: Path) -> str:
    """The models and metrics of metrics.json, best first."""
    metrics = json.loads(path.read_text(encoding="utf-8"))
    rows, _ = sort_rows([Row("workspace", model, test=values) for model, values in metrics.items()], None)
    names = [name for start in COLUMNS for name in rows[0].test if name.startswith(f"{start}@")]
    lines = [[row.model, *(f"{row.test[name]:.4f}" for name in names)] for row in rows]
    return tabulate(lines, ["model", *names], colalign=["left", *["right"] * len(names)], disable_numparse=True)


if __name__ == "__main__":
    command(main)
