"""Trend: how popular each item is at a moment, by the days right before it. What rises now is watched next."""

from functools import lru_cache
from typing import Annotated

from retrieval.histories import DAY, Features
from retrieval.params import AUTO, Positive, Section, Share

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor


class Trend(Section):
    """Recent popularity, a fixed term of every score: the towers learn the rest.

    prior(item, moment) = slope x log(1 + rate), with

        rate = usual x (recent + smoothing) / (usual + smoothing)

    A weekly count is the number of interactions in the `windows` days before the moment, times 7 / days. recent is the
    sum over windows of mix x weekly count, usual the weekly count of the longest window. An item with few interactions
    a week rises and falls mostly by chance, so its rate stays near `usual`; with many it is near `recent`. This is the
    posterior mean of the rate of a Poisson distribution, with `recent` events in a week and a Gamma prior of shape
    `smoothing` and mean `usual`. Source: Gelman et al., "Bayesian Data Analysis", chapter 2.

    user_weight, mean_weight: weights of the towers' part after training; the prior has weight 1. user_weight multiplies
    a user's difference from the mean user vector, mean_weight that mean. The mean scores items the same for all users,
    partly by past popularity, of which the prior knows more. auto: what the last days of train say, see
    `training.rehearsal`.
    """

    enabled: Annotated[bool, AUTO]
    windows: list[Positive]
    mix: list[Share]
    slope: Annotated[float, Field(gt=0)]
    smoothing: Annotated[float, Field(ge=0)]
    user_weight: Annotated[Share, AUTO]
    mean_weight: Annotated[Share, AUTO]

    @model_validator(mode="after")
    def _one_share_per_window(self) -> "Trend":
        if len(self.windows) != len(self.mix) or not self.windows:
            raise ValueError(f"mix has {len(self.mix)} shares for {len(self.windows)} windows: expected one for each")
        return self

    def blend(self, left: Tensor, mean: Tensor) -> Tensor:
        """left [users, e] without the prior, weighted; `mean` [e] is the mean over all users."""
        return self.user_weight * (left - mean) + self.mean_weight * mean


class Prior:
    """The prior of every item on every day. A day is 24 hours, counted back from the moment that the test begins."""

    def __init__(self, features: Features, options: Trend) -> None:
        time = features.histories.time
        self.moment, self.items, self.options = features.spec["moment"], len(features.item_ids), options
        order = np.argsort(-time, kind="stable")
        self.age, self.item = self._days(time[order]), features.histories.item[order]
        self.on, self.dtype = lru_cache(maxsize=1024)(self._on), torch.get_default_dtype()

    def at(self, time: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """For moments [n]: each moment's row [n] of a table, and the table [days, items] of priors.

        A day's prior counts nothing of the day itself, so that no target counts itself.
        """
        days, place = torch.unique(torch.from_numpy(self._days(time.numpy())), return_inverse=True)
        return place.to(device), torch.stack([self.on(day) for day in days.tolist()]).to(device)

    def serving(self) -> Tensor:
        """The prior [items] after all of train."""
        return self.on(-1)

    def _days(self, time: np.ndarray) -> np.ndarray:
        return np.maximum(0, (self.moment - time) // DAY)

    def _on(self, day: int) -> Tensor:
        """The prior by the interactions of days older than `day`."""
        options = self.options
        weekly = {window: self._weekly(day, window) for window in options.windows}
        recent = sum(share * weekly[window] for window, share in zip(options.windows, options.mix, strict=True))
        usual = weekly[max(weekly)]
        rate = usual * (recent + options.smoothing) / np.where(usual, usual + options.smoothing, 1)
        return torch.from_numpy(options.slope * np.log1p(rate)).to(self.dtype)

    def _weekly(self, day: int, window: int) -> np.ndarray:
        """Interactions per week, [items], in the days of the window before `day`."""
        first, last = np.searchsorted(self.age, [day + 1, day + 1 + window])
        return 7 / window * np.bincount(self.item[first:last], minlength=self.items)
