"""Validate params.yaml before any stage deletes or writes anything."""

from pathlib import Path

import evaluate
import features
import fetch
import index
import prepare
import train_baselines
import train_dssm
import train_lightfm
from retrieval.sources import SOURCES
from retrieval.stage import run


class CheckParams(
    fetch.FetchParams,
    prepare.PrepareParams,
    features.FeaturesParams,
    train_baselines.TrainBaselinesParams,
    train_lightfm.TrainLightFMParams,
    train_dssm.TrainDSSMParams,
    evaluate.EvaluateParams,
    index.IndexParams,
):
    """Every key of params.yaml."""


def main(params: CheckParams, out: Path) -> None:
    """params.yaml -> a marker file that never changes, so that no later stage runs again because of it."""
    SOURCES[params.data].check(params)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    run(main, everything=True)
