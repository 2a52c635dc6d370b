"""The image of the service. No Docker runs here: an environment of its own takes each step of the Dockerfile."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path

import pytest
import service_process
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from worlds import ROOT

LOCK = ROOT / "requirements" / "image.txt"
STEPS = [
    (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1])
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
TAKEN = {"FROM", "WORKDIR", "COPY", "RUN", "ARG", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}
NOT_IN_IMAGE = {"torch", "safetensors"}  # only the tower of a DSSM needs them
IMPORTS = """
import json, sys
from pathlib import Path
import retrieval.serving.__main__, retrieval.serving.processes, retrieval.serving.protocol
from retrieval.serving.app import create
from retrieval.serving.settings import Settings
import uvicorn.loops.uvloop
create(Settings(models=Path(sys.argv[1]), backend="hnsw"))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def pins(file: Path) -> dict[str, str]:
    """Package -> version, for this Python."""
    found = [Requirement(line) for line in re.findall(r"^([\w.\-]+(?:\[\w+\])?==[^\\#\n]+)", file.read_text(), re.M)]
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in found if not pin.marker or pin.marker.evaluate()}


def needs(name: str) -> set[str]:
    """What a package requires, without extras."""
    found = [Requirement(line) for line in requires(name) or []]
    return {canonicalize_name(one.name) for one in found if not one.marker or one.marker.evaluate({"extra": ""})}


def argument(instruction: str) -> str:
    """The only argument of an instruction that appears once."""
    (found,) = [rest for name, rest in STEPS if name == instruction]
    return found


def exec_form(text: str) -> list[str]:
    """The command of `["program", "argument"]`."""
    return json.loads(text[text.index("[") :])


def test_its_versions_are_those_of_the_pipeline_and_the_service_and_have_hashes():
    others = pins(ROOT / "requirements.txt") | pins(ROOT / "requirements" / "serve.txt")
    if sys.version_info < (3, 13):  # the image has Python 3.12, and the NumPy of it
        assert pins(LOCK).items() <= others.items()
    blocks = re.split(r"\n(?=\w)", LOCK.read_text())
    assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))


def test_it_has_what_the_service_imports_and_nothing_else(world):
    run = subprocess.run(
        [sys.executable, "-c", IMPORTS, str(world / "models")], env=service_process.environment(), stdout=-1, check=True
    )
    names = packages_distributions()
    loaded = {canonicalize_name(each) for top in json.loads(run.stdout) for each in names.get(top, ())}
    image = set(pins(LOCK))
    listed = {canonicalize_name(line) for line in re.findall(r"^([\w\-]+)$", LOCK.with_suffix(".in").read_text(), re.M)}
    assert listed <= loaded, "in image.in and not imported"
    required = listed.union(*map(needs, image))
    assert image == required, "image.txt is not what image.in asks for"
    direct = {canonicalize_name(one) for one in _imported_by_us()} & loaded
    assert direct - NOT_IN_IMAGE <= image


def _imported_by_us() -> set[str]:
    """The packages that any module of the library imports."""
    found = re.compile(r"^\s*(?:import|from) (\w+)", re.M)
    tops = {top for file in (ROOT / "src" / "retrieval").rglob("*.py") for top in found.findall(file.read_text())}
    names = packages_distributions()
    return {each for top in tops for each in names.get(top, ())}


def size(packages: set[str]) -> int:
    """Bytes of the files of installed packages."""
    files = (file.locate() for name in packages for file in distribution(name).files or ())
    return sum(Path(file).stat().st_size for file in files if Path(file).exists())


def test_it_is_at_most_a_third_of_the_environment_of_the_service():
    full = pins(ROOT / "requirements.txt") | pins(ROOT / "requirements" / "serve.txt")
    assert size(set(pins(LOCK))) <= size(set(full)) / 3


def test_a_step_of_the_dockerfile_is_one_that_these_tests_take():
    """Instructions that would change what runs come once, so that taking them in order is what Docker does."""
    names = [name for name, _ in STEPS]
    assert set(names) == TAKEN
    assert all(names.count(name) == 1 for name in TAKEN - {"COPY"})
    assert re.fullmatch(r"python:3\.12-slim(@sha256:[0-9a-f]{64})?", argument("FROM"))
    user, group = map(int, argument("USER").split(":"))
    assert user > 0
    assert group > 0
    for name, rest in STEPS:
        if name == "COPY":
            ignore = (ROOT / ".dockerignore").read_text().splitlines()
            assert all(f"!{source}" in ignore for source in rest.split()[:-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="image.txt is for Python 3.12; its NumPy has no wheel for 3.13")
def test_the_image_serves_and_writes_nothing(world, tmp_path):
    """Each step in order, in a folder in place of the root, with a virtual environment in place of Debian's Python.

    No byte may be written to any file: the root file system may be read-only, and of any user.
    """
    app = tmp_path / "app"
    app.mkdir()
    environment = os.environ | {"PATH": f"{tmp_path}/venv/bin{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    for name, rest in STEPS:
        if name == "COPY":
            _copy(*rest.split(), app)
        elif name == "RUN":
            subprocess.run(rest, shell=True, cwd=app, env=environment, check=True)
        elif name == "ENV":
            environment |= dict(pair.split("=", 1) for pair in rest.replace("$REVISION", "abc").split())
    models, metrics = (app / Path(path).relative_to("/app") for path in exec_form(argument("VOLUME")))
    shutil.copytree(world / "models", models)
    metrics.mkdir()
    port = service_process.free_port()
    process = subprocess.Popen(
        exec_form(argument("ENTRYPOINT")),
        cwd=app,
        env=environment | {"RETRIEVAL_PORT": str(port)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        service_process.wait_until(lambda: service_process.is_ready(url, process))
        check = [part.replace(":8000/", f":{port}/") for part in exec_form(argument("HEALTHCHECK"))]
        subprocess.run(check, cwd=app, env=environment, check=True)
        assert len(json.load(urllib.request.urlopen(f"{url}/reco/dssm/15"))["items"]) == 10
        assert json.load(urllib.request.urlopen(f"{url}/version"))["revision"] == "abc"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(f"{url}/reco/dssm", b"{}", {"content-type": "application/json"})
            )
        assert "dssm cannot score new users: torch is not installed; models" in refused.value.read().decode()
    finally:
        process.terminate()
        assert process.wait(service_process.SECONDS) in (0, -15)


def _copy(source: str, target: str, app: Path) -> None:
    """COPY of a file or a folder of the repository."""
    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, app / target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        (app / target).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, app / target)
