"""The requirements are pinned and consistent; the Makefile installs what each target needs and lists every target."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)[1].split()
IMAGE = ROOT / "requirements" / "image.txt"  # made from the others, see tests/serving/test_image.py
FILES = [ROOT / "requirements.txt", *sorted(set((ROOT / "requirements").glob("*.txt")) - {IMAGE})]
EXTRAS = {"test": "test", "test-quick": "test", "test-slow": "test", "lint": "lint", "serve": "serve", "bench": "bench",
          "search": "search", "sasrec": "sasrec"}  # fmt: skip


def test_the_version_is_the_same_everywhere_and_the_first_of_the_changelog():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == citation["version"]
    first = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1]
    assert Version(project["version"]).base_version == first


def lines(file: Path) -> list[str]:
    """The lines of a requirements file without comments and includes."""
    text = file.read_text(encoding="utf-8").splitlines()
    return [line for line in text if line and not line.startswith(("#", "-r "))]


def included(file: Path) -> set[Path]:
    """A requirements file and those that it includes."""
    others = re.findall(r"^-r (.+)$", file.read_text(encoding="utf-8"), re.M)
    return {file}.union(*(included((file.parent / other).resolve()) for other in others))


def pins(files: set[Path]) -> list[Requirement]:
    """The pins that apply to this Python."""
    found = [Requirement(line) for file in files for line in lines(file)]
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_requirement_is_one_exact_version(file):
    for line in lines(file):
        assert re.match(r"^[\w.\-]+(\[\w+\])?==[\w.]+( ; .+)?$", line), line


def test_a_package_appears_once():
    named = [canonicalize_name(pin.name) for pin in pins(set(FILES))]
    assert sorted(named) == sorted(set(named))


def test_every_file_includes_the_pipeline():
    """So that installing it never changes a version that the pipeline pins."""
    for file in FILES:
        assert ROOT / "requirements.txt" in included(file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_the_packages_require_is_pinned_too(file):
    """In the same file or in one that it includes. A CUDA build of torch pins its own libraries."""
    pinned = {canonicalize_name(pin.name) for pin in pins(included(file))}
    for pin in pins({file}):
        try:
            needs = [Requirement(line) for line in requires(pin.name) or []]
        except PackageNotFoundError:  # of a command that has not been used in this environment
            continue
        for need in needs:
            applies = need.marker is None or any(need.marker.evaluate({"extra": each}) for each in ("", *pin.extras))
            cuda = pin.name == "torch" and need.name.startswith(("nvidia", "cuda", "triton"))
            assert not applies or cuda or canonicalize_name(need.name) in pinned, f"{pin.name} requires {need}"


def make(*arguments: str, root: Path = ROOT, **variables: str) -> str:
    """What make prints, whether or not another make runs the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PIP_"))}
    environment |= variables
    run = subprocess.run(["make", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def test_help_lists_every_target():
    listed = [line.split()[1] for line in make("help").splitlines()]
    assert listed == re.findall(r"^([a-z-]+):", MAKEFILE, re.M)
    assert set(listed) == set(TARGETS)


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"clean", "help", "audit"}))
def test_a_target_installs_only_what_it_needs(target):
    """`--what-if` makes an existing environment count as out of date."""
    installed = re.findall(r"--requirement (\S+)", make("--dry-run", "--what-if=requirements.txt", target))
    extra = [f"requirements/{EXTRAS[target]}.txt"] if target in EXTRAS else []
    assert installed == ["requirements.txt", *extra]


def test_audit_looks_up_every_file_with_packages_in_an_environment_of_its_own(tmp_path):
    """It ends with an error if any file has a vulnerability, after all of them."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "audit" / "bin" / "pip-audit"
    program.parent.mkdir(parents=True)
    for path, script in ((program, 'case "$*" in *lint.txt) exit 1;; esac\n'), (tmp_path / "python", "")):
        path.write_text(f"#!/bin/sh\necho $0 $* >>{tmp_path}/log\n{script}")
        path.chmod(0o755)
    shutil.copy(tmp_path / "python", program.with_name("python"))
    with pytest.raises(subprocess.CalledProcessError):
        make("audit", f"PYTHON={tmp_path}/python", root=tmp_path)
    log = (tmp_path / "log").read_text()
    assert "-m venv .venv/audit\n" in log
    assert "-m pip install --quiet --disable-pip-version-check pip-audit==" in log
    asked = re.findall(r"--requirement requirements/(\S+)", log)
    assert asked == sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))


def test_the_state_of_dvc_lies_in_the_environment_and_is_open_to_its_user_only(tmp_path, install):
    """DVC keeps pickles in it; its default /var/tmp/dvc is open to all users of the machine."""
    install(gpu=True)
    assert (tmp_path / ".venv" / "dvc").stat().st_mode & 0o777 == 0o700
    written = re.search(r"\.write\(\\\n\t\"(.+?)\\n\"\)'", MAKEFILE, re.S)[1].replace("\\\n\t", "").replace('\\"', '"')
    code = f"import sys; sys.prefix = '/own'; {written}; print(os.environ['DVC_SITE_CACHE_DIR'], os.environ['PATH'])"
    for given, expected in (({}, "/own/dvc /own/bin:/bin"), ({"DVC_SITE_CACHE_DIR": "/x"}, "/x /own/bin:/bin")):
        run = subprocess.run(
            [sys.executable, "-S", "-c", code], env={"PATH": "/bin"} | given, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == expected


def test_repro_is_the_default_target():
    assert make("--dry-run") == make("--dry-run", "repro")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_requirements_file_says_how_long_it_takes_and_how_large_it_is(file):
    """In its first line, which make prints."""
    assert re.match(r"^# .+: about [\w ]+, [\d.]+ [MG]B\.$", file.read_text(encoding="utf-8").splitlines()[0])


# Stands for the Python of the machine and for that of .venv: it logs what pip is asked for.
PYTHON = """#!/bin/sh
case "$*" in
*venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*--index-url*) echo "$*" >>asked && [ -n "$REACHED" ] ;;
*pip*) echo "$*" >>asked ;;
esac
"""
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"


@pytest.fixture
def install(tmp_path: Path):
    """install(gpu=..., VARIABLE=...): what make prints and asks pip for, with or without a GPU."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python", "nvidia-smi", "uname"):
        (programs / name).write_text({"python": PYTHON, "uname": "#!/bin/sh\necho Linux\n"}.get(name, "#!/bin/sh\n"))
        (programs / name).chmod(0o755)

    def run(gpu: bool, **variables: str) -> tuple[list[str], list[str]]:
        if not gpu:
            (programs / "nvidia-smi").unlink()
        variables["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
        lines = make(".venv/ready", "PYTHON=python", root=tmp_path, **variables).splitlines()
        assert "about two minutes" in lines[0]
        return lines[1:], (tmp_path / "asked").read_text().splitlines()

    return run


without_gpu = pytest.mark.skipif(
    shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists(), reason="this machine has a GPU"
)


@without_gpu
def test_without_a_gpu_torch_alone_comes_from_the_index_of_cpu_builds(install):
    lines, asked = install(gpu=False, REACHED="yes")
    assert lines == []
    torch, lightfm, rest = asked
    assert f"--index-url {CPU_BUILDS} torch==" in torch
    assert "--no-deps" in torch
    assert "--no-cache-dir --no-deps rectools-lightfm==" in lightfm, "an older build may be in pip's cache"
    assert rest.endswith("--requirement requirements.txt")


@without_gpu
def test_if_that_index_cannot_be_reached_one_line_says_so_and_pip_decides(install):
    lines, asked = install(gpu=False)
    assert len(lines) == 1
    assert re.match(rf"{CPU_BUILDS} cannot be reached: .* GB more", lines[0])
    assert asked[-1].endswith("--requirement requirements.txt")


def test_with_a_gpu_the_size_of_cuda_is_announced(install):
    lines, asked = install(gpu=True, REACHED="yes")
    assert len(lines) == 1
    assert re.match(r"torch comes with CUDA: \d GB more", lines[0])
    assert not any(CPU_BUILDS in each for each in asked)


@pytest.mark.parametrize("setting", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"])
def test_indexes_that_the_user_names_are_left_alone(install, setting):
    lines, asked = install(gpu=False, REACHED="yes", **{setting: "1"})
    assert lines == []
    assert not any(CPU_BUILDS in each for each in asked)


def test_no_target_installs_spark_unless_it_is_named():
    """It is 500 MB, and of no use without Java."""
    spark = ROOT / "requirements" / "spark.txt"
    assert not any(spark in included(file) for file in FILES if file != spark)
    installed = re.findall(r"--requirement (\S+)", make("--dry-run", "--what-if=requirements.txt", ".venv/ready-spark"))
    assert installed == ["requirements.txt", "requirements/spark.txt"]


@pytest.mark.parametrize(
    ("programs", "calls"),
    [
        (["chromedriver", "java"], ["make lint", "make .venv/ready-spark", "make test"]),
        (["chromedriver"], ["make lint", "the tests on Spark are skipped", "make test"]),
        (["java"], ["the tests of the service's page are skipped", "make lint", "make .venv/ready-spark", "make test"]),
        (
            ["chromedriver", "apt-get"],
            ["make lint", "apt-get update", "apt-get install", "make .venv/ready-spark", "make test"],
        ),
    ],
    ids=lambda value: "-".join(value),
)
def test_ci_installs_what_is_missing_or_says_so(tmp_path, programs, calls):
    """apt-get stands for a root on Debian; without it nothing can be installed."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    log, folder = tmp_path / "log", tmp_path / "programs"
    folder.mkdir()
    scripts = {"id": "echo 0"} | {name: f'echo "{name} $*" >>{log}' for name in ["make", *programs]}
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    (folder / "dirname").symlink_to(shutil.which("dirname"))
    bash = shutil.which("bash")
    with log.open("a") as out:
        subprocess.run([bash, tmp_path / ".ci" / "run"], env={"PATH": str(folder)}, stdout=out, check=True)
    lines = log.read_text().splitlines()
    assert len(lines) == len(calls)
    assert all(call in line for call, line in zip(calls, lines, strict=True)), lines
