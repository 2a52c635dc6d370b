"""Work side by side: each job by one thread from start to end, none waiting for another after every operation.

A product of two matrices by two threads waits for the slower one, and what it leaves is read again by the other core.
Jobs that are whole blocks of rows have neither, and stay in the cache of their core.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """work(job) of every job, in the order of the jobs; as many run at once as torch has threads. No gradient."""
    threads = torch.get_num_threads()
    try:
        yield from _pool(threads).map(torch.no_grad()(work), jobs)
    finally:
        torch.set_num_threads(threads)  # threads that start later have what was set last


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Kept from call to call: new threads would have to warm up their memory anew."""
    return ThreadPoolExecutor(threads, initializer=_alone)


def _alone() -> None:
    torch.get_num_threads()  # a thread has its number set at its first question, which would undo ours
    torch.set_num_threads(1)
