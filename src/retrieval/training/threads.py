"""Jobs side by side, each on one thread from start to end.

A product of two matrices on two threads waits for the slower one after every operation, and its result moves to the
other core's cache. Jobs that are whole blocks of rows neither wait nor leave the cache of their core.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """Yield work(job) for each job, in order. As many jobs run at once as torch has threads; gradients are off."""
    threads = torch.get_num_threads()
    try:
        yield from _pool(threads).map(torch.no_grad()(work), jobs)
    finally:
        torch.set_num_threads(threads)  # threads that start later take the number that was set last


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """One pool for all calls: new threads would have to warm up their memory again."""
    return ThreadPoolExecutor(threads, initializer=_use_one_thread)


def _use_one_thread() -> None:
    torch.get_num_threads()  # the first call in a thread sets its number, which would undo ours
    torch.set_num_threads(1)
