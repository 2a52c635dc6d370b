"""RecTools' SASRec as two matrices: its lists are RecTools' own, order is learned, ids are those of the data."""

from pathlib import Path
from typing import Any

import evaluate_model
import pytest
import train_sasrec
from retrieval import histories, matrices
from retrieval.errors import Problem
from retrieval.params import load, validate
from retrieval.ranking import rank
from retrieval.sasrec import SASRec, build, dataset, train
from train_sasrec import TrainSASRecParams

import numpy as np
import worlds

lightning = pytest.importorskip("pytorch_lightning", reason="needs requirements/sasrec.txt")

ROOT = Path(__file__).parents[1]
SMALL = {"factors": 16, "blocks": 1, "heads": 1, "dropout": 0.0, "length": 10, "negatives": 8, "batch": 16}
QUICK = SMALL | {"epochs": 30, "learning_rate": 0.01}
VARIANTS = [{}, {"layers": "ligr", "loss": "sampled_softmax"}, {"loss": "BCE", "item": "id"}]
ITEMS = 20  # of the chain


def params(**changes: Any) -> TrainSASRecParams:
    values = load(ROOT / "params.yaml") | {"seed": 1}
    values["sasrec"] |= QUICK | changes
    return validate(TrainSASRecParams, values)


@pytest.fixture(scope="module")
def chain() -> histories.Features:
    return worlds.chain(users=60, items=ITEMS, length=8, seed=0)
