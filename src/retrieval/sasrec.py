"""RecTools' SASRec, and eSASRec as settings of it, as two matrices. It needs requirements/sasrec.txt.

A user's vector is what the transformer makes of the history; its product with an item's vector is the score. Sources:
Kang and McAuley 2018, "Self-Attentive Sequential Recommendation", and for eSASRec, which has LiGR layers and a sampled
softmax, Tikhonovich et al. 2025, "eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion".
"""

import logging
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any

from retrieval.divergence import check_epoch
from retrieval.histories import Features
from retrieval.matrices import snap
from retrieval.params import Positive, Section, one_of
from retrieval.progress import Epochs

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

if TYPE_CHECKING:
    from pytorch_lightning import Trainer
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

ITEMS = ("both", "id")
LAYERS = ("sasrec", "ligr")
LOSSES = ("softmax", "sampled_softmax", "BCE")
Width = Annotated[int, Field(ge=1, le=65_536)]


class SASRec(Section):
    """The section `sasrec` of params.yaml; the names of RecTools differ."""

    layers: Annotated[str, one_of(LAYERS)]
    loss: Annotated[str, one_of(LOSSES)]
    negatives: Annotated[int, Field(ge=1, le=10_000)]
    item: Annotated[str, one_of(ITEMS)]
    factors: Width
    blocks: Annotated[int, Field(ge=1, le=100)]
    heads: Width
    dropout: Annotated[float, Field(ge=0, lt=1)]
    length: Annotated[int, Field(ge=1, le=10_000)]
    epochs: Positive
    batch: Positive
    learning_rate: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _divides(self) -> "SASRec":
        if self.factors % self.heads:
            raise ValueError(f"factors={self.factors} is not a multiple of heads={self.heads}")
        return self


def train(features: Features, params: SASRec, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """left [users, d + 1] and right [items, d + 1] float32, trained in float32, which depends on the machine.

    SASRec learns nothing of an item that only users with a history of one have watched, or none of the last
    `length` + 1 items of a user: the last column ranks it below all others. Users of whom it knows no item get the mean
    of all other users.
    """
    from pytorch_lightning import seed_everything

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    seed_everything(seed, verbose=False)
    data = dataset(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(params).fit(data)
        return vectors(model, data)


def build(params: SASRec) -> "SASRecModel":
    """The model, untrained."""
    from rectools.models import SASRecModel
    from rectools.models.nn.item_net import CatFeaturesItemNet, IdEmbeddingsItemNet
    from rectools.models.nn.transformers.ligr import LiGRLayers
    from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers

    model = SASRecModel(
        transformer_layers_type=LiGRLayers if params.layers == "ligr" else SASRecTransformerLayers,
        item_net_block_types=(IdEmbeddingsItemNet, CatFeaturesItemNet)[: 2 if params.item == "both" else 1],
        loss=params.loss,
        n_negatives=params.negatives,
        n_factors=params.factors,
        n_blocks=params.blocks,
        n_heads=params.heads,
        dropout_rate=params.dropout,
        session_max_len=params.length,
        lr=params.learning_rate,
        batch_size=params.batch,
    )
    model._trainer = trainer(params)
    return model


def trainer(params: SASRec) -> "Trainer":
    """Trains for exactly `epochs`, with a line for each; a loss that is not finite ends it."""
    from pytorch_lightning import Callback, Trainer

    class Lines(Callback):
        def __init__(self) -> None:
            self.tell, self.history = Epochs(params.epochs), list[dict[str, float]]()

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            epoch, loss = len(self.history) + 1, float(trainer.callback_metrics["train_loss"])
            check_epoch(epoch, loss, f"sasrec.learning_rate={params.learning_rate}")
            self.history.append({"epoch": epoch, "loss": loss})
            self.tell(self.history)

    return Trainer(
        max_epochs=params.epochs,
        devices=1,
        callbacks=[Lines()],
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
    )


def dataset(features: Features) -> "Dataset":
    """RecTools' Dataset: rows of `features` are its ids, and the places in the histories its times."""
    from rectools import Columns
    from rectools.dataset import Dataset, IdMap, Interactions, SparseFeatures

    h = features.histories
    rows = {
        Columns.User: h.user,
        Columns.Item: h.item,
        Columns.Weight: np.float32(1),
        Columns.Datetime: np.arange(len(h.item)).astype("datetime64[s]"),
    }
    columns = [("column", column) for column in range(features.items.shape[1])]
    users, items = (IdMap(np.arange(len(ids))) for ids in (features.user_ids, features.item_ids))
    described = SparseFeatures.from_iterables(features.items, columns) if columns else None
    return Dataset(users, items, Interactions(pd.DataFrame(rows)), item_features=described)


def vectors(model: "SASRecModel", data: "Dataset", users: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The two matrices of a trained model, see `train`; of left only the rows `users`, ascending, if there are any."""
    users, items = np.arange(data.user_id_map.size) if users is None else users, data.item_id_map.size
    prepare = model.data_preparator
    usable = prepare.transform_dataset_u2i(data, users)
    loader = prepare.get_dataloader_recommend(usable, model.recommend_batch_size)
    # What SASRecModel.recommend ranks by
    user_vectors, item_vectors = model.lightning_model._get_user_item_embeddings(loader, None)
    u, v = user_vectors.numpy(), item_vectors.cpu().numpy()[prepare.n_item_extra_tokens :]
    left, right = np.empty((len(users), u.shape[1] + 1)), np.zeros((items, u.shape[1] + 1))
    longest = (np.linalg.norm(each.astype(np.float64), axis=1).max() for each in (u, v))
    left[:, :-1], left[:, -1] = u.mean(axis=0, dtype=np.float64), next(longest)
    left[np.searchsorted(users, usable.user_id_map.external_ids), :-1] = u
    right[:, -1] = -2 * next(longest)
    right[prepare.get_known_item_ids().astype(np.int64)] = np.pad(v, ((0, 0), (0, 1)))
    return snap(left), snap(right)
