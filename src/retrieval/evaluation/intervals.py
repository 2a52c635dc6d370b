"""Error bars: bootstrap intervals of the mean over users, and of the difference of two models on the same users."""

from collections.abc import Mapping

from retrieval.evaluation.metrics import rounded

import numpy as np

CHUNK = 32  # resamples at a time


def bootstrap(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means [resamples, columns] of `values` [users, columns] over users drawn with replacement (Efron 1979).

    All columns see the same users, so that a difference of two columns is a paired one. How often each user is drawn is
    counted, and a mean is then a product with the counts.
    """
    users = len(values)
    means = []
    for start in range(0, resamples, CHUNK):
        count = min(CHUNK, resamples - start)
        drawn = rng.integers(0, users, (count, users)) + np.arange(count)[:, None] * users
        times = np.bincount(drawn.ravel(), minlength=count * users).reshape(count, users)
        means.append(times.astype(np.float64) @ values / users)
    return np.concatenate(means)


def intervals(
    models: Mapping[str, Mapping[str, np.ndarray]], own: str, resamples: int, rng: np.random.Generator
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """95 % percentile intervals of `models`, metric -> value a user, [users]; metrics of all users together have none.

    {"means": {model: {metric: {"mean", "low", "high"}}}, "differences": the same of `own` less each other model}.
    """
    names = list(models)
    metrics = [name for name, value in models[own].items() if value.ndim]
    values = np.stack([models[name][metric] for metric in metrics for name in names], axis=1)
    shape = (len(metrics), len(names))
    draws = bootstrap(values, resamples, rng).reshape(-1, *shape)
    point = values.mean(axis=0).reshape(shape)
    place = [names.index(own)]
    result = {}
    for title, draw, mean in (
        ("means", draws, point),
        ("differences", draws[:, :, place] - draws, point[:, place] - point),
    ):
        low, high = np.quantile(draw, [0.025, 0.975], axis=0)
        result[title] = {
            name: {
                metric: {"mean": rounded(mean[m, n]), "low": rounded(low[m, n]), "high": rounded(high[m, n])}
                for m, metric in enumerate(metrics)
            }
            for n, name in enumerate(names)
            if title == "means" or name != own
        }
    return result
