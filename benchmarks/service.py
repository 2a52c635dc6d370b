"""Load-test the service, and time the nearest-neighbour indexes at up to a million items.

`load`: the service runs in its own process with the models of `dvc repro` and gets requests over loopback for random
users. Latency counts from the time a request was scheduled (open loop), so it includes time spent in a queue.
`curve`: recall against exact search and queries per second of each index, on synthetic vectors in clusters with a
popularity in the last column, as a trained model has. Queries come one at a time on one thread, as in the service.
"""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retrieval import ids
from retrieval.params import load
from retrieval.search import space
from retrieval.search.indexes import INDEXES, Indexes

import faiss
import numpy as np
from results import ROOT, record

SECONDS, RATE, CONNECTIONS = 20, 300, 32
BUSY = [64, 1000]  # connections at the top rate
BATCH = 1000  # users
WIDTH, CLUSTERS, QUERIES, K = 64, 1000, 1000, 10
SEARCHES = {"hnsw": [16, 32, 64, 128, 256, 512], "ivf": [1, 4, 16, 64, 256]}
SIZES = [10_000, 100_000, 1_000_000]


def main() -> None:
    """Measure what the arguments name: `load`, `curve`, or sizes of the curve. Without arguments, everything."""
    given = sys.argv[1:]
    sizes = [int(size) for size in given if size.isdigit()]
    if not given or "load" in given:
        for workers in (1, 2):
            record(**{f"service_{workers}_workers": asyncio.run(measure(workers))})
    for size in sizes or (SIZES if not given or "curve" in given else []):
        record(**{f"nearest_neighbours_{size}": curve(size)})


async def measure(workers: int) -> dict[str, float]:
    """Seconds to start; latency at a fixed rate; with all connections busy: requests per second and their latency; and
    users per second of batches."""
    users = ids.load(ROOT / "models" / "dssm" / "user_ids.parquet")
    draw = np.random.default_rng(0).choice(users, 100_000)
    gc.collect()
    gc.freeze()  # else the client pauses for 100 ms to visit what its imports have made
    with served(workers) as (port, started):
        async with connections(port, CONNECTIONS) as idle:
            await asyncio.gather(*(ask(idle, single(user)) for user in draw[:2000]))
            late = await at_rate(idle, draw[: RATE * SECONDS])
            result = {"start_s": started} | percentiles(late, f"at_{RATE}")
            whole = batch(draw[:BATCH])
            begin = time.perf_counter()
            await asyncio.gather(*(ask(idle, whole) for _ in range(20)))
            result["batch_users_per_s"] = 20 * BATCH / (time.perf_counter() - begin)
        for count in BUSY:
            async with connections(port, count) as idle:
                taken = await asyncio.gather(*(ask_on(idle, draw[i::count]) for i in range(count)))
            waits = [each for link in taken for each in link]
            result |= {f"requests_per_s_{count}": len(waits) / SECONDS} | percentiles(waits, f"{count}_connections")
    return result


def percentiles(seconds: list[float], where: str) -> dict[str, float]:
    """The median and the 99th percentile, in milliseconds."""
    return {f"p{q}_ms_{where}": float(np.percentile(seconds, q) * 1000) for q in (50, 99)}


async def ask_on(idle: asyncio.Queue, users: np.ndarray) -> list[float]:
    """Seconds of each request of one connection that is never idle, for SECONDS."""
    link, taken = await idle.get(), list[float]()
    own: asyncio.Queue = asyncio.Queue()
    own.put_nowait(link)
    last = begin = time.perf_counter()
    while last - begin < SECONDS:
        await ask(own, single(users[len(taken) % len(users)]))
        taken.append(time.perf_counter() - last)
        last += taken[-1]
    idle.put_nowait(link)
    return taken


def single(user: int | str) -> bytes:
    """The request for the items of a user."""
    return f"GET /reco/dssm/{quote(str(user), safe='')} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def batch(users: np.ndarray) -> bytes:
    """The request for the items of many users."""
    body = json.dumps({"user_ids": users.tolist()}).encode()
    head = f"POST /reco/dssm/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


async def at_rate(idle: asyncio.Queue, users: np.ndarray) -> list[float]:
    """Latency in seconds of a request per user, RATE per second.

    Each request becomes a task when it is due: thousands of tasks made at once hold back the first requests.
    """
    begin, tasks = time.perf_counter(), []
    async with asyncio.TaskGroup() as group:
        for number, user in enumerate(users):
            due = begin + number / RATE
            await asyncio.sleep(due - time.perf_counter())
            tasks.append(group.create_task(timed(idle, user, due)))
    return [task.result() for task in tasks]


async def timed(idle: asyncio.Queue, user: int | str, due: float) -> float:
    """Seconds from the scheduled time of a request to its answer."""
    await ask(idle, single(user))
    return time.perf_counter() - due


async def ask(idle: asyncio.Queue, request: bytes) -> None:
    """Send one request over an idle connection."""
    reader, writer = await idle.get()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    idle.put_nowait((reader, writer))


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[asyncio.Queue]:
    """A queue of open connections."""
    idle: asyncio.Queue = asyncio.Queue()
    links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for link in links:
        idle.put_nowait(link)
    yield idle
    for _, writer in links:
        writer.close()


@contextmanager
def served(workers: int) -> Iterator[tuple[int, float]]:
    """Start the service on a free port; yields the port and the seconds it took to start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "retrieval.serving", "--port", str(port), "--workers", str(workers)]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, "the service did not start; run dvc repro first"
                time.sleep(0.01)
        yield port, time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait()


def curve(size: int) -> dict[str, Any]:
    """Per index: seconds to build, megabytes, and [setting, recall@10, queries per second] for each search setting."""
    left, right = vectors(size)
    best = np.concatenate([np.argpartition(-(left[i : i + 10] @ right.T), K)[:, :K] for i in range(0, QUERIES, 10)])
    begin = time.perf_counter()
    for row in left[:50]:
        np.argpartition(-(right @ row), K)
    results: dict[str, Any] = {"exact_queries_per_s": 50 / (time.perf_counter() - begin)}
    fitted = space.fit(left, right)
    points, queries = fitted.items(right), fitted.query(left)
    options = Indexes.model_validate(load(ROOT / "params.yaml")["index"])
    with tempfile.TemporaryDirectory() as folder:
        for kind, build in INDEXES.items():
            path = Path(folder) / kind
            faiss.omp_set_num_threads(os.cpu_count() or 1)
            begin = time.perf_counter()
            build(points, options, path)
            built = {"build_s": time.perf_counter() - begin, "megabytes": path.stat().st_size / 1e6}
            faiss.omp_set_num_threads(1)
            results[kind] = {**built, "curve": turn(faiss.read_index(str(path)), kind, queries, best)}
    return results


def turn(index: Any, kind: str, queries: np.ndarray, best: np.ndarray) -> list[list[float]]:
    """[setting, recall@10, queries per second] for each search setting in `SEARCHES`."""
    points = []
    for value in SEARCHES[kind]:
        if kind == "hnsw":
            index.hnsw.efSearch = value
        else:
            index.nprobe = value
        begin = time.perf_counter()
        found = [index.search(query[None], K)[1][0] for query in queries]
        rate = len(queries) / (time.perf_counter() - begin)
        recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, best, strict=True)]) / K
        points.append([value, float(recall), rate])
    return points


def vectors(size: int) -> tuple[np.ndarray, np.ndarray]:
    """left [QUERIES, WIDTH + 1] and right [size, WIDTH + 1] in clusters; the last column is popularity."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)
    items = centres[rng.integers(0, CLUSTERS, size)] + rng.normal(size=(size, WIDTH)).astype(np.float32)
    users = centres[rng.integers(0, CLUSTERS, QUERIES)] + rng.normal(size=(QUERIES, WIDTH)).astype(np.float32)
    popularity = rng.gumbel(size=(size, 1)).astype(np.float32)
    return np.c_[users, np.ones(QUERIES)].astype(np.float32), np.c_[items / 4, popularity]


if __name__ == "__main__":
    main()
