"""Error bars: bootstrap intervals of means over users, and of paired differences between models."""

from collections.abc import Mapping

from retrieval.stage import rounded

import numpy as np

CHUNK = 32  # resamples per matrix product


def bootstrap(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means [resamples, n] of `values` [users, n] over users drawn with replacement (Efron 1979).

    All n columns use the same draws, so that differences between them are paired. The means are a matrix product with
    how often each user was drawn; values are rounded to multiples of 2^-30, so that it is exact in any order.
    """
    users, values = len(values), np.rint(values * 2.0**30) / 2.0**30
    means = []
    for start in range(0, resamples, CHUNK):
        count = min(CHUNK, resamples - start)
        draws = rng.integers(0, users, (count, users)) + np.arange(count)[:, None] * users
        times = np.bincount(draws.ravel(), minlength=count * users).reshape(count, users)
        means.append(times.astype(np.float64) @ values / users)
    return np.concatenate(means)


def intervals(
    models: Mapping[str, Mapping[str, np.ndarray]], own: str, resamples: int, rng: np.random.Generator
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """95 % percentile intervals of the metrics that have one value per user.

    models: model -> metric -> [users], or [] for a metric of all users together, which has no interval. Returns
    {"means": {model: {metric: {"mean", "low", "high"}}}, "differences": the same of `own` minus each other model}.
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
