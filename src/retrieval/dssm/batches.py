"""Batches: tokens of histories as flat arrays, and the targets to predict from the tokens before them."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from retrieval.histories import Histories

import torch
from torch import Generator, Tensor

GAPS = 32  # buckets of the time between two items of a history
TOKENS = 2**18  # most tokens of whole histories in a batch, padding included
PAIRS = 2**25  # about the most pairs of a target and an item seen before it in a batch, however long a history is
NOISE = 4  # tokens by which lengths are blurred before windows are sorted: batches differ from epoch to epoch


class Batch(NamedTuple):
    """Rows of tokens, one after another, and the position of each target.

    user [rows], start [rows], size [rows]: the tokens of row r are item[start[r] : start[r] + size[r]].
    item [tokens], gap [tokens]: the item watched, and the bucket of the time since the one before it.
    row [targets], column [targets]: a target is predicted from the first `column` tokens of its row.
    target [targets], time [targets]: the item to predict, and when it was watched, in seconds since 1970.
    seen_row [pairs], seen_item [pairs]: an item that the user of target `seen_row` has watched, so that it is no
    negative for that target.
    """

    user: Tensor
    start: Tensor
    size: Tensor
    item: Tensor
    gap: Tensor
    row: Tensor
    column: Tensor
    target: Tensor
    time: Tensor
    seen_row: Tensor
    seen_item: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The batch on that device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def rows(self, rows: Tensor) -> tuple["Batch", Tensor]:
        """The batch of some of its rows [r], ascending, and its targets [t] that are in these rows."""
        targets = torch.where(torch.isin(self.row, rows))[0]
        pairs = torch.isin(self.seen_row, targets)
        size = self.size[rows]
        row, rank = ragged(size)
        token = self.start[rows][row] + rank
        part = Batch(
            user=self.user[rows],
            start=size.cumsum(0) - size,
            size=size,
            item=self.item[token],
            gap=self.gap[token],
            row=torch.searchsorted(rows, self.row[targets]),
            column=self.column[targets],
            target=self.target[targets],
            time=self.time[targets],
            seen_row=torch.searchsorted(targets, self.seen_row[pairs]),
            seen_item=self.seen_item[pairs],
        )
        return part, targets


def ragged(size: Tensor) -> tuple[Tensor, Tensor]:
    """For rows of the given sizes laid end to end: each element's row and its rank within the row, [elements] each."""
    row = torch.repeat_interleave(size)
    return row, torch.arange(len(row), device=size.device) - (size.cumsum(0) - size)[row]


def _cumulative(values: Tensor) -> Tensor:
    """[n + 1]: the sum of the values [n] before each place, and at the end of all of them."""
    return torch.cat([values.new_zeros(1, dtype=torch.long), values.cumsum(0)])


def _random(count: int, generator: Generator) -> Tensor:
    """Uniform numbers [count] in [0, 1), the same for every precision of the training."""
    return torch.rand(count, generator=generator, dtype=torch.float64)


def gap_buckets(time: Tensor, rank: Tensor) -> Tensor:
    """The bucket of the time between each token and the one before it in its row, [tokens] int64.

    0 for the first of a row (rank 0), 1 for the same second, then one bucket per doubling.
    """
    gap = time.diff(prepend=time[:1])
    doublings = torch.frexp(gap.clamp(min=1).double()).exponent.long()  # 1 + log2, rounded down, exactly
    bucket = torch.where(gap <= 0, 1, (1 + doublings).clamp(max=GAPS - 1))
    return bucket.where(rank > 0, 0)


class Batches:
    """Makes batches of histories: drawn targets to train on, held-out ones to validate on, or whole histories.

    `length` bounds the tokens of a row, `size` is about the number of targets per batch. holdout [users] bool marks the
    users whose last item is left out of training. chance [n] is each interaction's chance to be a target in an epoch.
    With `exclude_seen` a batch names what each target's user has watched.
    """

    def __init__(
        self,
        histories: Histories,
        length: int,
        size: int = 1024,
        holdout: Tensor | None = None,
        chance: Tensor | None = None,
        exclude_seen: bool = True,
    ) -> None:
        self.length, self.size, self.exclude_seen = length, size, exclude_seen
        self.first, self.end = (torch.from_numpy(histories.indptr[part]) for part in (slice(-1), slice(1, None)))
        self.item, self.time = torch.from_numpy(histories.item).long(), torch.from_numpy(histories.time)
        holdout = torch.zeros(len(self.end), dtype=torch.bool) if holdout is None else holdout
        self.last = self.end - holdout.long()  # [users], where the history to train on ends
        self.validation_users = torch.where(holdout)[0]
        self.chance = torch.ones(len(self.item), dtype=torch.float64) if chance is None else chance

    def steps(self, targets: str) -> int:
        """About the number of batches per epoch."""
        expected = self.chance.sum() if targets == "sequence" else (self.last > self.first).sum()
        return max(1, math.ceil(float(expected) / self.size))

    def epoch(self, targets: str, generator: Generator) -> Iterator[Batch]:
        """The batches of an epoch; `targets` is sequence or one."""
        return self.sequences(generator) if targets == "sequence" else self.one_each(generator)

    def sequences(self, generator: Generator) -> Iterator[Batch]:
        """Every item is a target, predicted from those before it; all targets of a window in one pass.

        A history longer than `length` is cut into windows at places drawn anew each epoch. Windows of similar length
        share a batch, so that there is little padding.
        """
        drawn = _random(len(self.item), generator) < self.chance  # [n], which are targets
        before = _cumulative(drawn)
        earlier = _cumulative(drawn * ragged(self.end - self.first)[1] * self.exclude_seen)
        user, first, last = self._windows(generator)  # each [windows]
        targets, pairs = before[last] - before[first], earlier[last] - earlier[first]
        noise = NOISE * _random(len(user), generator)
        order = (last - first + noise).argsort(stable=True)
        order = order[targets[order] > 0]
        number = (targets[order].cumsum(0) - 1) // self.size + pairs[order].cumsum(0) // PAIRS
        parts = order.split(torch.unique_consecutive(number, return_counts=True)[1].tolist())
        for i in torch.randperm(len(parts), generator=generator).tolist():
            part = parts[i]
            row, column = ragged(last[part] - first[part])
            at = first[part][row] + column
            row, column, at = row[drawn[at]], column[drawn[at]], at[drawn[at]]
            size = last[part] - first[part] - 1
            token = first[part].repeat_interleave(size) + ragged(size)[1]
            yield self._batch(user[part], token, size, row, column, at, at)

    def one_each(self, generator: Generator) -> Iterator[Batch]:
        """One target per user, drawn from the whole history and predicted from the rest of it: the notebook's way."""
        users = torch.where(self.last > self.first)[0]
        users = users[torch.randperm(len(users), generator=generator)]
        draw = _random(len(users), generator)
        target = self.first[users] + (draw * (self.last - self.first)[users]).long()
        drawn = torch.where(_random(len(users), generator) < self.chance[target])[0]
        for part in drawn.split(self.size) if len(drawn) else ():
            user, at = users[part], target[part]
            first = self.first[user]
            size = self.last[user] - first
            row, rank = ragged(size)
            token = first[row] + rank
            own = at[row]  # each token's target
            others = (token != own) & (rank - (token > own).long() >= (size - 1 - self.length)[row])
            size = torch.bincount(row[others], minlength=len(user))
            yield self._batch(user, token[others], size, torch.arange(len(user)), size, at, self.last[user])

    def validation(self, most: int | None = None) -> Iterator[Batch]:
        """The held-out last items, of about `most` users at most, each predicted from the items before it."""
        users = self.validation_users
        for user in self._by_length(users if most is None else users[:: max(1, math.ceil(len(users) / most))]):
            yield self._ends(user, self.last[user])

    def whole(self, users: Tensor | None = None) -> Iterator[Batch]:
        """The whole histories of `users` [U], or of every user. `target` and `time` are placeholders."""
        for user in self._by_length(torch.arange(len(self.end)) if users is None else users):
            yield self._ends(user, self.end[user])

    def _by_length(self, users: Tensor) -> list[Tensor]:
        """The users in batches of bounded memory, those of similar histories together: there is little padding."""
        users = users[(self.end - self.first)[users].argsort(stable=True)]
        tokens = (self.end - self.first)[users].clamp(1, self.length)
        parts = []
        while len(users):
            rows = min(self.size, len(users))
            while rows > 1 and rows * tokens[rows - 1] > TOKENS:
                rows //= 2
            parts.append(users[:rows])
            users, tokens = users[rows:], tokens[rows:]
        return parts

    def _windows(self, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(user, first, last) of windows of at most `length` items that together cover the histories."""
        size = self.last - self.first
        cut = torch.where(size > self.length, 1 + torch.randint(self.length, size.shape, generator=generator), size)
        user, rank = ragged(torch.where(size > 0, 1 + (size - cut + self.length - 1) // self.length, 0))
        first = self.first[user] + torch.where(rank > 0, cut[user] + (rank - 1) * self.length, 0)
        return user, first, torch.minimum(self.first[user] + cut[user] + rank * self.length, self.last[user])

    def _ends(self, user: Tensor, end: Tensor) -> Batch:
        size = (end - self.first[user]).clamp(max=self.length)
        row, rank = ragged(size)
        token = (end - size)[row] + rank
        at = end.clamp(max=len(self.item) - 1)
        return self._batch(user, token, size, torch.arange(len(user)), size, at, end)

    def _batch(
        self, user: Tensor, token: Tensor, size: Tensor, row: Tensor, column: Tensor, at: Tensor, seen_until: Tensor
    ) -> Batch:
        """`token` and `at` are places in the histories; a target's user has seen what lies before `seen_until`."""
        first = self.first[user][row]
        seen_row, rank = ragged((seen_until - first) * self.exclude_seen)
        return Batch(
            user=user,
            start=size.cumsum(0) - size,
            size=size,
            item=self.item[token],
            gap=gap_buckets(self.time[token], ragged(size)[1]),
            row=row,
            column=column,
            target=self.item[at],
            time=self.time[at],
            seen_row=seen_row,
            seen_item=self.item[first[seen_row] + rank],
        )
