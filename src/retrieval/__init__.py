"""Two-tower retrieval: from raw tables to recommendations. Each package is one step of that way."""

import math
import os


def usable_cpus(root: str = "") -> int:
    """The number of CPUs of the affinity mask, or the CPU quota of the cgroup, rounded up, if that is less.

    Container runtimes limit CPU time by such a quota. OpenMP, OpenBLAS and torch see the mask, but not the quota.
    `root`: a folder with other `proc` and `sys`, for tests.
    """
    limits = [_mask()]
    for line in _read(f"{root}/proc/self/cgroup").splitlines():  # 0::/path (version 2) or 4:cpu,cpuacct:/path
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            folder = f"{root}/sys/fs/cgroup" + ("/cpu" if controllers else "")
            for part in ["", *path.strip("/").split("/")]:  # the quota of a group holds for the groups in it
                folder += f"/{part}"
                limits += _quota(folder)
    return max(1, min(limits))


def _mask() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(group: str) -> list[int]:
    """The CPUs of the quota of a cgroup. Empty if it has none: its files are missing, or say "max" or -1."""
    version_1 = (f"{group}/cpu.cfs_quota_us", f"{group}/cpu.cfs_period_us")
    match (_read(f"{group}/cpu.max") or " ".join(map(_read, version_1))).split():
        case [quota, period] if quota.isdigit():
            return [math.ceil(int(quota) / int(period))]
    return []


def _read(path: str) -> str:
    """The content of a file; empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


# How long an idle OpenMP thread spins before it sleeps. With libgomp's default, two busy processes fight over the cores
# and run many times slower; without spinning a step of a small model takes half as long again. With 3,000 two processes
# at once take no longer than one after the other. OpenMP reads this once, when the first library that uses it loads.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

# Without a quota the libraries choose themselves: as many threads as the mask has cores.
if usable_cpus() < _mask():
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cpus()))
