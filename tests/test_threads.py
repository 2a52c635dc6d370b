"""Work side by side: in order, by as many threads as torch has, each of which computes alone."""

import threading

from retrieval.threads import side_by_side

import pytest
import torch


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_jobs():
    assert list(side_by_side(lambda job: job * job, range(50))) == [job * job for job in range(50)]


def test_as_many_jobs_run_at_once_as_torch_has_threads():
    met = threading.Barrier(2, timeout=30)  # broken if the first job has to end before the second begins
    assert sorted(side_by_side(lambda job: met.wait(), range(2))) == [0, 1]


def test_a_job_computes_by_one_thread_and_without_gradients_and_the_caller_as_before():
    weight = torch.ones(3, requires_grad=True)
    inside = list(side_by_side(lambda job: (torch.get_num_threads(), (weight * 2).requires_grad), range(4)))
    assert inside == [(1, False)] * 4
    assert torch.get_num_threads() == 2
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


def test_what_goes_wrong_in_a_job_reaches_the_caller_and_later_jobs_still_run():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda job: 1 // job, [1, 0, 1]))
    assert list(side_by_side(lambda job: 1 // job, [1])) == [1]
    assert torch.get_num_threads() == 2
