"""Threads: as many as the machine grants; work side by side in order, by threads each of which computes alone."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import retrieval
from retrieval import usable_cpus
from retrieval.training.threads import side_by_side

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
    met = threading.Barrier(2, timeout=300)  # broken if the first job has to end before the second begins
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


QUOTA, PERIOD = "cpu/x/cpu.cfs_quota_us", "cpu/x/cpu.cfs_period_us"  # version 1


def cgroups(root: Path, lines: str, files: dict[str, str]) -> str:
    """A folder with /proc/self/cgroup of these lines, and files below /sys/fs/cgroup."""
    contents = {"proc/self/cgroup": lines} | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return str(root)


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 6),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 6),
        ("0::/\n", {}, 6),
        ("", {}, 6),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/docker/1f\n", {"cpu.max": "200000 100000\n"}, 2),  # the container's own group is mounted at the top
        ("0::/other\n", {"cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, 6),
        ("1:name=systemd:/\n4:cpu,cpuacct:/x\n", {QUOTA: "250000", PERIOD: "100000"}, 3),
        ("4:cpu,cpuacct:/x\n0::/\n", {QUOTA: "-1\n", PERIOD: "100000\n"}, 6),
        ("3:cpuset:/x\n", {QUOTA: "100000\n", PERIOD: "100000\n"}, 6),
    ],
)  # fmt: skip
def test_the_cpu_quota_of_a_cgroup_limits_the_affinity_mask(tmp_path, monkeypatch, lines, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert usable_cpus(cgroups(tmp_path, lines, files)) == expected


@pytest.mark.parametrize(
    ("quota", "variables", "expected"),
    [("150000", {}, "2"), ("150000", {"OMP_NUM_THREADS": "5"}, "5"), ("max", {}, "None")],
)
def test_importing_the_library_passes_a_quota_on_to_openmp(tmp_path, quota, variables, expected):
    """Unless the user has set the number of threads; and before torch or numpy is loaded."""
    root = cgroups(tmp_path, "0::/\n", {"cpu.max": f"{quota} 100000\n"})
    code = f"""
import builtins, os, sys
read = builtins.open
builtins.open = lambda file, *a, **k: read({root!r} * file.startswith(("/proc/self/", "/sys/")) + file, *a, **k)
os.sched_getaffinity = lambda pid: set(range(6))
import retrieval
print(os.environ.get("OMP_NUM_THREADS"), "torch" in sys.modules, "numpy" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | variables
    source = Path(retrieval.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=source, env=environment, capture_output=True, text=True)
    assert run.stdout.split() == [expected, "False", "False"], run.stderr
