"""The notebook's batches, training step and recommendation loop, rewritten so that ours can be compared with them.

It has the notebook's towers (LayerNorm and dropout), loss (triplet, the first of ten negatives), shapes and work per
sample: one draw over the whole catalogue for the positive, one for the negatives, dense rows of features and history.
"""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVES = 10


class Item(nn.Module):
    """[n, features] -> [n, width]."""

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(features, width), nn.LayerNorm(width)
        self.second, self.last = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.second(self.dropout(F.relu(self.norm(self.first(x))))))
        return self.last(h + F.relu(self.second(h)))


class User(nn.Module):
    """[n, features], [n, items] -> [n, width]."""

    def __init__(self, features: int, items: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(features, width), nn.LayerNorm(width), nn.Linear(width, width)
        self.history, self.history_norm = nn.Linear(items, width), nn.LayerNorm(width)
        self.history_second, self.last = nn.Linear(width, width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, history: Tensor) -> Tensor:
        h = F.relu(self.second(self.dropout(F.relu(self.norm(self.first(features))))))
        h = h + F.relu(self.second(h))
        w = F.relu(self.history_second(self.dropout(F.relu(self.history_norm(self.history(history))))))
        return self.last(torch.cat([h, w], 1))


class Samples(torch.utils.data.Dataset):
    """One sample per user: features, history, a positive from the history, ten negatives from all items."""

    def __init__(self, users: pd.DataFrame, items: pd.DataFrame, histories: np.ndarray) -> None:
        self.users, self.items, self.histories = users, items, histories

    def __len__(self) -> int:
        return len(self.histories)

    def __getitem__(self, user: int) -> tuple[Tensor, ...]:
        count = self.histories.shape[1]
        positive = np.random.choice(range(count), p=self.histories[user])  # noqa: NPY002
        negatives = np.random.choice(range(count), size=NEGATIVES, replace=False)  # noqa: NPY002
        rows = [self.items.iloc[item].to_numpy() for item in negatives]
        features, near = self.users.iloc[user].to_numpy(), self.items.iloc[positive].to_numpy()
        parts = features, self.histories[user], near, np.stack(rows)
        return tuple(torch.tensor(part, dtype=torch.float32) for part in parts)


def step(user: User, item: Item, optimizer: torch.optim.Optimizer, batch: list[Tensor], margin: float = 0.4) -> float:
    """Forward, backward, one step of Adam; returns the loss."""
    features, history, positive, negatives = batch
    optimizer.zero_grad()
    anchor, near = user(features, history), item(positive)
    far = item(negatives.flatten(0, 1)).view(len(anchor), NEGATIVES, -1)[:, 0]
    distances = ((anchor - near) ** 2).sum(1), ((anchor - far) ** 2).sum(1)
    loss = torch.clamp(distances[0] - distances[1] + margin, min=0).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def recommend(
    users: np.ndarray, items: np.ndarray, seen: list[set[int]], user_ids: np.ndarray, item_ids: np.ndarray, k: int
) -> pd.DataFrame:
    """Distances per block of users, a full sort of each row, and a Python loop over users and their lists."""
    rows = []
    vectors = torch.from_numpy(items)
    for start in range(0, len(users), 1024):
        distances = torch.cdist(torch.from_numpy(users[start : start + 1024]), vectors).numpy()
        for i, line in enumerate(distances):
            watched = seen[start + i]
            best = [j for j in np.argsort(line)[: k + len(watched)] if j not in watched][:k]
            for place, j in enumerate(best, 1):
                rows.append({"user_id": user_ids[start + i], "item_id": item_ids[j], "rank": place})
    return pd.DataFrame(rows)
