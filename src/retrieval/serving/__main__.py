"""Start the service: python -m retrieval.serving [flags]."""

import functools
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.serving.settings import Settings

    import uvicorn


def main() -> None:
    """Limit the threads, read the settings, serve until SIGTERM."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is imported
        os.environ[name] = "1"
    serve(read_settings())


def read_settings() -> "Settings":
    """The settings from flags and environment variables. An invalid one ends the process with one line."""
    from retrieval.serving.settings import Settings

    from pydantic import ValidationError
    from pydantic_settings import CliApp, SettingsError

    flags = [re.sub(r"^--[\w-]+", lambda flag: "--" + flag[0][2:].replace("-", "_"), each) for each in sys.argv[1:]]
    try:
        return CliApp.run(Settings, flags)  # --root-path is --root_path
    except ValidationError as error:
        first = error.errors()[0]
        sys.exit(f"serving: {'.'.join(map(str, first['loc']))}: {first['input']!r} is not valid: {first['msg']}")
    except SettingsError as error:
        sys.exit(f"serving: {error}; write a list as JSON: '[\"dssm\"]'")


def serve(settings: "Settings") -> None:
    """Serve from this process, or from `settings.workers` processes below it. Invalid models end the process."""
    from retrieval.serving.middleware import log_to_stderr
    from retrieval.serving.processes import Supervisor

    import uvicorn

    if settings.workers == 1:
        uvicorn.Server(_config(settings, None)).run()
        return
    log_to_stderr(settings.log_level)
    with tempfile.TemporaryDirectory() as shared:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        config = _config(settings, Path(shared))
        supervisor = Supervisor(config, [config.bind_socket()])
        supervisor.run()
    if supervisor.failed:
        sys.exit(1)


def _config(settings: "Settings", shared: Path | None) -> "uvicorn.Config":
    from retrieval.serving.processes import application
    from retrieval.serving.protocol import Protocol

    import uvicorn

    return uvicorn.Config(
        functools.partial(application, settings, shared),
        factory=True,
        http=Protocol,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_graceful_shutdown=round(settings.timeout),
        timeout_worker_healthcheck=settings.worker_timeout,
        access_log=False,
        log_config=None,
        server_header=False,
    )


if __name__ == "__main__":
    main()
