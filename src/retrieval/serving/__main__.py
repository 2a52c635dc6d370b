"""Start the service: python -m retrieval.serving [flags]."""

import functools
import os
import signal
import sys
import tempfile


def main() -> None:
    """Read the settings, limit the threads, and serve until SIGTERM."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
        os.environ[name] = "1"
    from retrieval.serving.app import create
    from retrieval.serving.settings import Settings

    import uvicorn
    from pydantic import ValidationError
    from pydantic_settings import CliApp, SettingsError
    from uvicorn.supervisors import Multiprocess

    class Supervisor(Multiprocess):
        """uvicorn's processes; SIGHUP goes to each of them, which reloads without a restart."""

        def handle_hup(self) -> None:
            for process in self.processes:
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGHUP)

    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        first = error.errors()[0]
        sys.exit(f"serving: {'.'.join(map(str, first['loc']))}: {first['input']!r} is not valid: {first['msg']}")
    except SettingsError as error:
        sys.exit(f"serving: {error}; a list is written as JSON: '[\"dssm\"]'")
    config = uvicorn.Config(
        functools.partial(create, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_graceful_shutdown=round(settings.timeout),
        access_log=False,
        log_config=None,
        server_header=False,
    )
    if settings.workers == 1:
        uvicorn.Server(config).run()
        return
    create(settings)  # so that models that are not fit end the start, and a database is filled, once
    with tempfile.TemporaryDirectory() as shared:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        Supervisor(config, [config.bind_socket()]).run()


if __name__ == "__main__":
    main()
