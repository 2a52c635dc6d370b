"""Why the notebook's BPR failed: train it unchanged, and with every combination of four possible causes fixed.

Run after `dvc repro`: `PYTHONPATH=src:benchmarks python studies/bpr.py`. It reads data/features and data/prepared,
trains the notebook's LayerNorm towers for as many steps as the notebook did, and writes studies/bpr.json and
docs/bpr.png.
"""

import json
from itertools import product
from pathlib import Path

from retrieval import histories
from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.model import DSSM
from retrieval.dssm.scoring import SCORES
from retrieval.evaluation.assessment import Exam, assess, prepare_exam
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features
from retrieval.matrices import Model
from retrieval.params import load
from retrieval.stage import write_json

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from tqdm import trange
from training import PARAMS

STEPS, NEGATIVES, TEMPERATURE = 1135, 10, 0.07
CAUSES = ("1 - sigmoid", "no temperature", "target in the input", "ranked by distance")


def draw(sampler: Batches, leak: bool, generator: Generator) -> Batch:
    """One target per user; with `leak` it stays in the history that the user vector is computed from."""
    if not leak:
        return next(sampler.one_each(generator))
    batch = next(sampler.whole())
    place = (torch.rand(len(batch.user), generator=generator) * batch.size).long()
    return batch._replace(target=batch.item[batch.start + place])


def train(features: Features, saturates: bool, temperature: float, leak: bool) -> tuple[Tensor, Tensor]:
    """User vectors [users, width] and item vectors [items, width] after STEPS steps of Adam."""
    torch.manual_seed(42)
    generator = Generator().manual_seed(42)
    model, items = DSSM(features, PARAMS), torch.arange(len(features.item_ids))
    sampler = Batches(features.histories, model.length, len(features.user_ids), exclude_seen=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for _ in trange(STEPS, disable=None):
        batch = draw(sampler, leak, generator)
        negatives = torch.randint(len(items), (len(batch.target), NEGATIVES), generator=generator)
        vectors = model.items(items)
        cosine = SCORES["cosine"]
        users, directions = cosine.left(model.users(batch, vectors)), cosine.right(vectors)
        positive = (users * directions[batch.target]).sum(1, keepdim=True)
        difference = (positive - torch.einsum("be,bne->bn", users, directions[negatives])) / temperature
        loss = (1 - torch.sigmoid(difference) if saturates else F.softplus(-difference)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        model.eval()
        vectors = model.items(items)
        batch = next(sampler.whole())
        return model.users(batch, vectors)[batch.user.argsort()], vectors


def matrices(users: Tensor, items: Tensor, distance: bool) -> tuple[np.ndarray, np.ndarray]:
    """The two matrices to rank by: Euclidean distance, as in the notebook, or the cosine, as in its training."""
    score = SCORES["euclid" if distance else "cosine"]
    return score.left(users).numpy(), score.right(items).numpy()


def judge(left: np.ndarray, right: np.ndarray, features: Features, exam: Exam, options: Evaluation) -> float:
    """MAP@10 of the test users on items that are new to them."""
    model = Model("bpr", "vectors", left, right, features.user_ids, features.item_ids, {})
    return float(assess(model, exam, options).values["map@10"].mean())


def draw_scores(pairs: dict[str, tuple[np.ndarray, np.ndarray]], features: Features, exam: Exam, path: Path) -> None:
    """Histograms of the cosine of test users with items they watched and with other items."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(pairs), figsize=(4.5 * len(pairs), 3), sharey=True, layout="constrained")
    rng = np.random.default_rng(0)
    rows, watched = exam.truth.nonzero()
    other = rng.integers(0, len(features.item_ids), (len(rows), 100))
    for axis, (title, (left, right)) in zip(axes, pairs.items(), strict=True):
        positive = (left[rows] * right[watched]).sum(1)
        negative = np.einsum("be,bne->bn", left[rows], right[other]).ravel()
        bins = np.linspace(-1, 1, 61)
        axis.hist(negative, bins, density=True, alpha=0.5, color="#0072b2", label="not watched")
        axis.hist(positive, bins, density=True, alpha=0.5, color="#d55e00", label="watched")
        axis.set(title=title, xlabel="cosine of user and item")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("density")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    features = histories.load(Path("data/features"))
    options = Evaluation.model_validate(load(Path("params.yaml"))["evaluate"])
    exam = prepare_exam(Path("data/prepared"), features, options, 42)
    results, pictures = [], {}
    for saturates, cold, leak in product((True, False), repeat=3):
        users, items = train(features, saturates, 1.0 if cold else TEMPERATURE, leak)
        for distance in (True, False):
            left, right = matrices(users, items, distance)
            causes = [name for name, on in zip(CAUSES, (saturates, cold, leak, distance), strict=True) if on]
            results.append({"causes": causes, "map@10": round(judge(left, right, features, exam, options), 6)})
            print(json.dumps(results[-1]), flush=True)
        if saturates == cold == leak:
            pictures["as it was" if leak else "mended"] = matrices(users, items, False)
    write_json(Path("studies/bpr.json"), results)
    draw_scores(pictures, features, exam, Path("docs/bpr.png"))


if __name__ == "__main__":
    main()
