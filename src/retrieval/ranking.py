"""The ranking: the k best items of each user by left[user] . right[item], one way for every model.

The scores of a block of users are one matrix product. The k best are found without sorting whole rows: a row is cut
into chunks of neighbouring items; each of the k best lies in one of the k chunks with the highest best item, so only
these chunks are searched. Equal scores are in the order of the items, as in a full stable sort.

Blocks run side by side, each on one thread from its product to its lists: no thread waits for another, products of
sparse matrices, which use one thread only, run in parallel as well, and the number of threads changes no bit.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from retrieval import usable_cpus
from retrieval.matrices import Matrix
from retrieval.progress import progress
from retrieval.torchrun import Processes

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_info, threadpool_limits

CHUNK = 64  # items represented by the best one among them
SCORES = 2**22  # scores of a block of users: 16 MB per thread, and 32 MB for their products


@dataclass(frozen=True)
class Ranking:
    """A row per user, best item first: `items` [users, k] int32, rows of the item matrix, and `scores` [users, k]
    float32. A user with fewer than k candidates has -1 and -inf at the end."""

    items: np.ndarray
    scores: np.ndarray


def rank(
    left: Matrix,
    right: Matrix,
    users: np.ndarray,
    k: int,
    seen: sp.csr_matrix | None = None,
    constant: bool = False,
    title: str = "rank",
    own: sp.csr_matrix | None = None,
    processes: Processes | None = None,
) -> Ranking:
    """The k best items of the `users` [U] (rows of `left`), without those in their rows of `seen` [users, items].

    own [users, items]: what is added to the scores of items that a user has had. processes: each of them ranks for its
    share of the users, and returns the lists of all.

    The order is that of a full stable sort by falling score, so that equal scores are in the order of the items. An
    item with no evidence for it has score 0 in a sparse model and may still be recommended. `constant`: all rows of
    left are equal, so that without `seen` one list serves all users.
    """
    if constant and seen is None and len(users) > 1:
        one = rank(left, right, users[:1], k, title=title)
        return Ranking(one.items.repeat(len(users), 0), one.scores.repeat(len(users), 0))
    if processes is not None and processes.count > 1:
        title = title if processes.first else ""
        mine = rank(left, right, processes.mine(users), k, seen, constant, title, own)
        return Ranking(processes.join(mine.items, len(users)), processes.join(mine.scores, len(users)))
    ranking = Ranking(np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32))

    def keep(part: slice, scores: np.ndarray) -> None:
        if own is not None:
            add(scores, own[users[part]])
        if seen is not None:
            rows = seen[users[part]]
            scores[np.repeat(np.arange(len(scores)), np.diff(rows.indptr)), rows.indices] = -np.inf
        places, best = top(scores, k)
        ranking.items[part] = np.where(np.isneginf(best), -1, places)
        ranking.scores[part] = best

    each_block(keep, left, right, users, k, title)
    return ranking


def each_block(
    work: Callable[[slice, np.ndarray], None],
    left: Matrix,
    right: Matrix,
    users: np.ndarray,
    least: int = 1,
    title: str = "score",
) -> None:
    """work(part, scores) for every block of `users` [U]: which of them, and their scores of all items, as in `blank`.

    `work` may be called by several threads at once, each with scores that are its own until it returns: by as many as
    BLAS has. Without a `title` no progress is shown.
    """
    count = right.shape[0]
    size = max(64, SCORES // count)
    items = transposed(right, dense=not sp.issparse(left))
    buffers: SimpleQueue[tuple[np.ndarray, np.ndarray]] = SimpleQueue()
    rows, exact = min(size, len(users)), isinstance(items, np.ndarray) and not sp.issparse(left)

    def block(start: int) -> int:
        part = slice(start, min(start + size, len(users)))
        buffer, products = buffers.get()
        try:
            scores = buffer[: part.stop - start]
            score(left[users[part]], items, scores[:, :count], products[: part.stop - start])
            work(part, scores)
        finally:
            buffers.put((buffer, products))
        return len(scores)

    with progress(title, len(users), "users", hidden=not title) as advance, side_by_side() as (pool, threads):
        for _ in range(threads):
            buffers.put((blank(rows, count, least), np.empty((rows if exact else 0, count))))
        for done in pool.map(block, range(0, len(users), size)):
            advance(done)


@contextmanager
def side_by_side() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Yield as many threads as BLAS has, and their number. Meanwhile each product is computed by one thread alone."""
    blas = (each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
    threads = max(blas, default=usable_cpus())  # none that threadpoolctl knows
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        yield pool, threads


def blank(rows: int, items: int, k: int) -> np.ndarray:
    """Scores [rows, width] for `top`, all -inf: `width` is the number of items or k, rounded up to whole chunks."""
    return np.full((rows, -(-max(items, k) // CHUNK) * CHUNK), -np.inf, np.float32)


def add(scores: np.ndarray, own: sp.csr_matrix) -> None:
    """Add own [n, items] to scores [n, items or more], in place."""
    scores[np.repeat(np.arange(own.shape[0]), np.diff(own.indptr)), own.indices] += own.data


def widened(matrix: sp.csr_matrix, columns: int) -> sp.csr_matrix:
    """The matrix with zeros in further columns."""
    return sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], columns))


def transposed(right: Matrix, dense: bool) -> Matrix:
    """`right` as `score` expects it, for a dense or a sparse left: [d, items], float64 if both are dense."""
    if not isinstance(right, np.ndarray):
        return right.T.tocsr()
    return np.asarray(right, np.float64).T if dense else np.ascontiguousarray(right.T)


def score(left: Matrix, items: Matrix, out: np.ndarray, products: np.ndarray | None = None) -> None:
    """left [users, d] @ items [d, items], into `out` float32; `products` float64 of the same shape is scratch memory.

    Products of dense matrices are float64, so that scores of numbers on the grid (see `matrices`) are exact, whatever
    the processor and the number of threads. Sparse products are sums in a fixed order.
    """
    if sp.issparse(left) or sp.issparse(items):
        product = left @ items
        out[:] = product if isinstance(product, np.ndarray) else product.toarray()
    else:
        out[:] = np.matmul(np.asarray(left, np.float64), items, out=products)


def top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and scores [users, k] of the k best of each row of `scores` [users, chunks * CHUNK] float32."""
    rows, each = len(scores), scores.shape[1] // CHUNK
    highest = np.maximum.reduceat(scores.ravel(), np.arange(0, scores.size, CHUNK)).reshape(rows, each)  # of a chunk
    best = np.sort(_first(highest, min(k, each)), axis=1)  # [users, k] chunks
    candidates = scores.reshape(rows, each, CHUNK)[np.arange(rows)[:, None], best].reshape(rows, -1)
    place = _first(candidates, k)  # [users, k]
    items = np.take_along_axis(best, place // CHUNK, 1) * CHUNK + place % CHUNK
    return items, np.take_along_axis(candidates, place, 1)


def _first(scores: np.ndarray, k: int) -> np.ndarray:
    """Places [users, k] of the k highest of each row, equal ones in the order of their places.

    Score and place are packed into one integer, the lowest for the highest score. Read as integers, the bits of floats
    from 0 up are in the order of the floats; those below 0 are in the opposite order, so all their bits but the sign
    are flipped. Adding 0 makes -0 a 0.
    """
    bits = (scores + np.float32(0)).view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = np.arange(scores.shape[1]) - (ordered.astype(np.int64) << 32)
    keys.partition(k - 1)
    return np.sort(keys[:, :k]) & 0xFFFFFFFF
