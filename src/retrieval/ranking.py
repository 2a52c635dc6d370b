"""The ranking: the k best items of each user by left[user] . right[item], one way for every model.

The scores of a block of users are one matrix product. The k best are found without sorting whole rows: the items are
dealt out to more than k groups; the k-th highest of their best scores is a score that at least k items reach, so only
the items that reach it are sorted, few more than k. Equal scores are in the order of the items, as in a full stable
sort.

Blocks run side by side, each on one thread from its product to its lists: no thread waits for another, products of
sparse matrices, which use one thread only, run in parallel as well, and the number of threads changes no bit.
"""

from collections.abc import Callable, Iterator, Sequence
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

GROUP = 64  # items in a group, at most; a power of 2
GROUPS = 4  # times k, at least: with fewer, more than k items reach the k-th best group
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
    return rankings(left, right, users, [(k, seen)], title, own, processes)[0]


def rankings(
    left: Matrix,
    right: Matrix,
    users: np.ndarray,
    asked: Sequence[tuple[int, sp.csr_matrix | None]],
    title: str = "rank",
    own: sp.csr_matrix | None = None,
    processes: Processes | None = None,
) -> list[Ranking]:
    """Several rankings by the same scores, one for each (k, seen) of `asked`; see `rank`.

    Each leaves out its `seen` and those before it.
    """
    if processes is not None and processes.count > 1:
        mine = rankings(left, right, processes.mine(users), asked, title if processes.first else "", own, None)
        return [Ranking(*(processes.join(each, len(users)) for each in (one.items, one.scores))) for one in mine]
    shapes = [(len(users), k) for k, _ in asked]
    found = [Ranking(np.empty(shape, np.int32), np.empty(shape, np.float32)) for shape in shapes]

    def keep(part: slice, scores: np.ndarray) -> None:
        if own is not None:
            add(scores, own[users[part]])
        for (k, seen), ranking in zip(asked, found, strict=True):
            if seen is not None:
                scores[places(seen[users[part]])] = -np.inf
            items, best = top(scores, k)
            ranking.items[part] = np.where(np.isneginf(best), -1, items)
            ranking.scores[part] = best

    each_block(keep, left, right, users, max(k for k, _ in asked), title)
    return found


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
    """Scores [rows, width] for `top`, all -inf: `width` is the number of items or k, rounded up to whole groups."""
    return np.full((rows, -(-max(items, k) // GROUP) * GROUP), -np.inf, np.float32)


def add(scores: np.ndarray, own: sp.csr_matrix) -> None:
    """Add own [n, items] to scores [n, items or more], in place."""
    scores[places(own)] += own.data


def places(matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """The row and the column of each number that the matrix stores, in their order."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices


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
    """Places and scores [users, k] of the k best of each row of `scores` [users, width] float32, as in `blank`."""
    rows, width = scores.shape
    size = GROUP
    while size > 1 and width // size < GROUPS * k:
        size //= 2
    groups = scores.reshape(rows, size, -1).max(axis=1) if size > 1 else scores
    reached = -np.partition(-groups, k - 1, axis=1)[:, k - 1, None]  # [users, 1], by at least k items
    found = ~(scores < reached)  # not >=, which no score of a diverged model fulfils, as they are NaN
    for row in np.flatnonzero((groups >= reached).sum(axis=1) > 2 * k):  # very many are equal to it
        found[row] = scores[row] > reached[row]
        found[row, np.flatnonzero(scores[row] == reached[row])[:k]] = True
    row, item = np.divmod(np.flatnonzero(found), width)
    count = np.bincount(row, minlength=rows)
    keys = np.full((rows, count.max(initial=k)), np.iinfo(np.int64).max)
    keys[row, np.arange(len(row)) - (count.cumsum() - count)[row]] = _keys(scores[row, item], item)
    keys.partition(k - 1, axis=1)
    items = np.sort(keys[:, :k], axis=1) & 0xFFFFFFFF
    return items, np.take_along_axis(scores, items, 1)


def _keys(scores: np.ndarray, items: np.ndarray) -> np.ndarray:
    """A number for each score, the lowest for the highest score, equal ones in the order of the items; int64.

    Score and item are packed into one integer. Read as integers, the bits of floats from 0 up are in the order of the
    floats; those below 0 are in the opposite order, so all their bits but the sign are flipped. Adding 0 makes -0 a 0.
    """
    bits = (scores + np.float32(0)).view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return items - (ordered.astype(np.int64) << 32)
