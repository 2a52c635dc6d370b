"""Validate params.yaml before any stage deletes or writes anything."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import catalogue
import evaluate
import evaluate_external
import evaluate_model
import features
import fetch
import index
import maps
import prepare
import train_baselines
import train_dssm
import train_lightfm
import train_sasrec
from retrieval.errors import Problem, choices
from retrieval.params import PATH
from retrieval.sources import SOURCES
from retrieval.stage import run

import yaml

PIPELINE = Path("dvc.yaml")
EVALUATE = "evaluate_"  # and the name of a model: its stage


class CheckParams(
    fetch.FetchParams,
    prepare.PrepareParams,
    features.FeaturesParams,
    train_baselines.TrainBaselinesParams,
    train_lightfm.TrainLightFMParams,
    train_dssm.TrainDSSMParams,
    train_sasrec.TrainSASRecParams,
    evaluate.EvaluateParams,
    evaluate_model.EvaluateModelParams,
    evaluate_external.EvaluateExternalParams,
    maps.MapsParams,
    index.IndexParams,
    catalogue.CatalogueParams,
):
    """Every key of params.yaml."""


def main(params: CheckParams, out: Path) -> None:
    """params.yaml -> a marker file that never changes, so that no later stage runs again because of it."""
    SOURCES[params.data].check(params)
    check_models(params.models)
    for line in warnings(Path.cwd()):
        print(f"check: warning: {line}", file=sys.stderr)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("params.yaml is valid\n", encoding="utf-8")


def check_models(names: Sequence[str]) -> None:
    """Raises `Problem` for a model without a stage of its own that evaluates it."""
    stages = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"]
    models = [stage.removeprefix(EVALUATE) for stage in stages if stage.startswith(EVALUATE)]
    models.remove("external")  # the lists of other systems are no model
    for name in names:
        if name not in models:
            raise Problem(f"{PATH}: models: {name!r} is no model that {PIPELINE} evaluates; {choices(name, models)}")


def warnings(root: Path) -> Iterator[str]:
    """One line for each feature of DVC that fails in the repository at `root`. The pipeline needs none of them."""
    if not str(root).isascii():
        yield f"{root}: `dvc exp run` with --temp or --queue fails in a path that is not ASCII"
    identity = ("git", "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")  # like DVC, guesses nothing
    try:
        subprocess.run(identity, cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        yield (
            "git has no user.name and user.email, and `dvc exp run` needs both: "
            "git config user.name NAME && git config user.email EMAIL"
        )


if __name__ == "__main__":
    run(main, everything=True)
