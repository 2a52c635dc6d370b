"""The processes of `--workers`: workers that answer requests, and their parent, which replaces dead workers."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.serving.settings import Settings

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE = 5.0  # seconds that a worker may take to end after its last request has timed out

log = logging.getLogger("retrieval.service")


def application(settings: Settings, shared: Path | None) -> "FastAPI":
    """The application of a worker; `shared` is a folder of all workers.

    It is imported here, once the worker already answers its parent's pings.
    """
    _end_with_parent(settings.timeout + GRACE)
    from retrieval.serving.app import create

    return create(settings, shared)


def reload_all() -> None:
    """Ask the parent to reload all workers. Does nothing if the parent has ended: its id may be another process's."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.is_alive() and parent.pid is not None:
        os.kill(parent.pid, signal.SIGHUP)


def _end_with_parent(seconds: float) -> None:
    """When the parent ends, close the port and stop as on SIGTERM; after `seconds` stop in any case."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Supervisor(Multiprocess):
    """uvicorn's parent process, for workers that take long to load.

    uvicorn's own parent asks the workers one by one and waits for each answer; meanwhile it sees neither dead workers
    nor signals. This one never waits. It starts one worker first, which reports invalid models and fills the database.
    The others start once the first answers requests. On SIGHUP the workers reload the models without a restart.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False  # the first worker ended before it was ready
        self._asked: dict[Process, float] = {}  # when each worker got the ping that it has not answered yet
        self._ready: set[Process] = set()  # workers that answer requests
        self._outdated: set[Process] = set()  # workers that will reload as soon as they are ready
        self._loaded = False  # whether a worker has ever been ready

    def init_processes(self) -> None:
        """Start the first worker; once one has been ready, all that are missing."""
        while len(self.processes) < (self.processes_num if self._loaded else 1):
            self.processes.append(self._start())

    def keep_subprocess_alive(self) -> None:
        """Replace each worker that has exited, or has not answered a ping in time."""
        for place, worker in enumerate(self.processes):
            exited = not worker.process.is_alive()
            if not exited and self._answers(worker):
                continue
            worker.kill()
            worker.join()
            how = f"ended with exit code {worker.exitcode}" if exited else "does not answer"
            if exited and not self._loaded:
                self.failed = True
                self.should_exit.set()
                if worker.exitcode != 1:  # else it has logged the reason
                    log.critical("not started: worker %s %s", worker.pid, how)
                return
            log.error("worker %s %s: replaced", worker.pid, how)
            self._forget(worker)
            self.processes[place] = self._start()
        self.init_processes()

    def handle_hup(self) -> None:
        """Pass SIGHUP on to the workers: to one that is still loading, which it would end, only when it is ready."""
        for worker in self.processes:
            if worker in self._ready and worker.pid is not None:
                os.kill(worker.pid, signal.SIGHUP)
            else:
                self._outdated.add(worker)

    def join_all(self) -> None:
        """Wait until the workers have answered the requests that have begun; kill those that take too long."""
        end = time.monotonic() + (self.config.timeout_graceful_shutdown or 0) + GRACE
        for worker in self.processes:
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                log.error("worker %s does not end: killed", worker.pid)
                worker.kill()
                worker.process.join()

    def _start(self) -> Process:
        worker = Process(self.config, self.sockets)
        worker.start()
        return worker

    def _answers(self, worker: Process) -> bool:
        """Whether the worker answers pings in time. Takes its last answer and sends the next ping, without waiting."""
        now = time.monotonic()
        try:
            if worker in self._asked and worker.parent_conn.poll():
                del self._asked[worker]
                if worker.parent_conn.recv():  # whether it answers requests
                    self._welcome(worker)
            if worker not in self._asked:
                worker.parent_conn.send(b"ping")
                self._asked[worker] = now
        except (OSError, EOFError):
            return False
        return now - self._asked[worker] < self.config.timeout_worker_healthcheck

    def _welcome(self, worker: Process) -> None:
        self._loaded = True
        self._ready.add(worker)
        if worker in self._outdated and worker.pid is not None:
            self._outdated.remove(worker)
            os.kill(worker.pid, signal.SIGHUP)

    def _forget(self, worker: Process) -> None:
        self._asked.pop(worker, None)
        self._ready.discard(worker)
        self._outdated.discard(worker)
