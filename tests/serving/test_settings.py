"""Settings come from flags and environment variables; a wrong one ends the start with one line."""

import subprocess

from retrieval.serving.settings import Settings

import pytest
from service_process import COMMAND, SECONDS, environment


def run(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *flags]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize(
    ("flags", "variables", "reason"),
    [
        (["--port", "abc"], {}, "serving: port: 'abc' is not valid: "),
        (["--root-path", "x"], {}, "serving: root_path: 'x' is not valid: "),
        (["--origin", "https://a.example/"], {}, "serving: origin.0: 'https://a.example/' is not valid: "),
        (["--log-level", "loud"], {}, "serving: log_level: 'loud' is not valid: "),
        (["--serve", "dssm,new="], {}, "serving: serve.1: 'new=' is not valid: "),
        (["--workers", "0"], {}, "serving: workers: '0' is not valid: "),
        (["--backend", "faiss"], {}, "serving: backend: 'faiss' is not valid: "),
        ([], {"RETRIEVAL_TIMEOUT": "-1"}, "serving: timeout: '-1' is not valid: "),
        ([], {"RETRIEVAL_SERVE": "dssm,popular"}, "write a list as JSON: "),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(flags, variables, reason):
    process = run(*flags, **variables)
    assert process.returncode == 1
    assert reason in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_help_describes_every_flag():
    process = run("--help")
    assert process.returncode == 0
    for flag in Settings.model_fields:
        assert f"  --{flag} " in process.stdout
    assert "address to listen on (default: 127.0.0.1)" in process.stdout
