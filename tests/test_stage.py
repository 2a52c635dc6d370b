"""What stages share: every error is one line, outputs are whole or absent, and two processes never mix."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

from retrieval import stage
from retrieval.errors import DEBUG, Problem
from retrieval.params import Section
from retrieval.stage import file, folder, sha256, write_json, write_npz, write_sparse

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from safetensors import SafetensorError

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"


class Nothing(Section):
    """No parameters."""


def ended(monkeypatch: pytest.MonkeyPatch, error: Exception) -> str:
    """What a stage ends with that raises this error."""

    def main(params: Nothing, out: Path) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["src/train_mine.py", "out"])
    with pytest.raises(SystemExit) as end:
        stage.run(main)
    return str(end.value.code)


@pytest.fixture(autouse=True)
def parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 1\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Problem("a: b"), "a: b"),
        (PermissionError(errno.EACCES, "Permission denied", "models"), "models: Permission denied"),
        (MemoryError("Unable to allocate 9 GiB"), "out of memory, PLACE: Unable to allocate 9 GiB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate"), "out of memory, PLACE: DefaultCPU"),
        (
            RuntimeError("Error in void\n  faiss::f()"),
            "unexpected RuntimeError, PLACE: Error in void faiss::f()",
        ),
        (SafetensorError("header too large"), "unexpected SafetensorError, PLACE: header too large"),
        (OSError("odd"), "unexpected OSError, PLACE: odd; RETRIEVAL_DEBUG=1 shows where it comes from"),
        (ValueError(), "unexpected ValueError, PLACE: no details"),
    ],
)
def test_every_exception_is_one_line(monkeypatch, capsys, error: Exception, line: str):
    monkeypatch.delenv(DEBUG, raising=False)
    said = ended(monkeypatch, error)
    assert re.sub(r"retrieval/stage.py:\d+", "PLACE", said).startswith(f"train_mine: {line}")
    assert "\n" not in said
    assert capsys.readouterr().err == ""


def test_an_unexpected_error_names_the_line_of_this_project(monkeypatch):
    def main(params: Nothing, out: Path) -> None:
        write_json(out, {"loss": float("nan")})

    monkeypatch.setattr(sys, "argv", ["src/train_mine.py", "out"])
    with pytest.raises(SystemExit, match=r"unexpected ValueError, retrieval/stage.py:\d+: Out of range float values"):
        stage.run(main)


def test_the_traceback_is_shown_on_demand(monkeypatch, capsys):
    monkeypatch.setenv(DEBUG, "1")
    assert ended(monkeypatch, ValueError("odd")).startswith("train_mine: unexpected ValueError")
    assert "Traceback" in capsys.readouterr().err


def small_files(world: Path, script: str, *paths: str, limit: int = 1024) -> subprocess.CompletedProcess[str]:
    """Run a stage that may write no file of more than `limit` bytes, as on a full disk."""
    code = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); sys.argv = {[script, *paths]!r}; "
        f"sys.path.insert(0, {str(SRC)!r}); runpy.run_path({str(SRC / script)!r}, run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=world, capture_output=True, text=True, check=False)


@pytest.mark.heavy
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path):
    from worlds import write_world

    world = write_world(tmp_path / "world")
    (world / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    before = {path: path.read_bytes() for path in world.rglob("models/*/*") if path.is_file()}
    for script, *paths in (
        ("train_lightfm.py", "features", "models/lightfm", "models/lightfm.run.json"),
        ("train_dssm.py", "features", "models/dssm", "models/dssm.run.json"),
        ("index.py", "features", "models/dssm", "models/indexes/dssm"),
    ):
        run = small_files(world, script, *paths)
        last = run.stderr.splitlines()[-1]
        assert run.returncode == 1
        assert "Traceback" not in run.stderr
        assert last.startswith(f"{script.removesuffix('.py')}: "), run.stderr
        assert "unexpected" not in last, run.stderr
        assert "models" in last or ".checkpoints" in last, last
    assert {path: path.read_bytes() for path in before} == before
    card = "models/popular.run.json"
    run = small_files(world, "train_baselines.py", "features", "models/popular", card, limit=3000)
    assert run.stderr.splitlines()[-1] == f"train_baselines: {card}: cannot be written: File too large"
    assert not list(world.rglob("*.partial"))


@pytest.mark.heavy
def test_a_full_disk_ends_the_stages_of_the_data_in_one_line(tmp_path: Path):
    """Whichever file is the first that no longer fits. The line names the folder, and nothing is left of it."""
    rows = [f"u{i % 90},i{(7 * i + i // 90) % 80},{10**9 + 40_000 * i}" for i in range(4000)]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    (tmp_path / "mine" / "items.csv").write_text("item_id,genre\n" + "".join(f"i{i},g{i % 7}\n" for i in range(80)))
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = re.sub(r"^data: \S+", "data: folder", re.sub(r"^folder: \S+", "folder: mine", params, flags=re.M))
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    stages = ("fetch.py", "raw"), ("prepare.py", "raw", "prepared"), ("features.py", "prepared", "features")
    for script, *paths in stages:
        for limit in (100, 5000):
            run = small_files(tmp_path, script, *paths, limit=limit)
            assert run.returncode == 1
            start = f"{script.removesuffix('.py')}: {paths[-1]}: cannot be written: "
            assert re.fullmatch(rf"{start}.*File too large", run.stderr.splitlines()[-1]), run.stderr
            assert "Traceback" not in run.stderr
            assert not list(tmp_path.glob(f"*{paths[-1]}*"))
            assert not list(tmp_path.glob(f".*{paths[-1]}*"))
        assert small_files(tmp_path, script, *paths, limit=10**9).returncode == 0


def test_a_read_only_or_wrong_place_is_one_line(tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_text("")

    def main(params: Nothing, out: Path) -> None:
        with folder(out):
            pass

    monkeypatch.setattr(sys, "argv", ["src/train_mine.py", "file/models"])
    with pytest.raises(SystemExit, match=r"^train_mine: file/.models.partial: Not a directory$|^train_mine: file: "):
        stage.run(main)
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setattr(sys, "argv", ["src/train_mine.py", "closed/models"])
    if os.geteuid():
        with pytest.raises(SystemExit, match=r"^train_mine: closed/.models.partial: Permission denied$"):
            stage.run(main)


def test_numpy_does_not_say_why_but_the_line_does(tmp_path: Path):
    with (
        pytest.raises(Problem, match=f"^{tmp_path}/model: cannot be written: No space left on device$"),
        folder(tmp_path / "model"),
    ):
        raise OSError("4096 requested and 0 written")
    assert not list(tmp_path.glob("*model*"))


def fail_in_a_file(out: Path, error: BaseException) -> None:
    """Write half of a file, then fail."""
    with file(out) as aside:
        aside.write_text("half")
        raise error


def test_a_file_is_whole_or_as_it_was(tmp_path: Path):
    out, full = tmp_path / "file", OSError(errno.ENOSPC, "No space left on device")
    for error, shown in ((full, Problem), (KeyboardInterrupt(), KeyboardInterrupt)):
        with pytest.raises(shown):
            fail_in_a_file(out, error)
        assert not list(tmp_path.glob("*file*"))
    write_json(out, [1])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(out, [float("nan")])
    with pytest.raises(KeyError):
        fail_in_a_file(out, KeyError())
    assert out.read_text() == "[\n  1\n]\n"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["file", "params.yaml"]


HOLD = """
import sys
from pathlib import Path
from retrieval.stage import folder
with folder(Path("out")) as aside:
    (aside / "mine").write_text("first")
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_of_a_stage_is_one_line_and_the_first_is_whole(tmp_path: Path):
    command, environment = [sys.executable, "-c", HOLD], os.environ | {"PYTHONPATH": str(SRC)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as first:
        assert first.stdout.readline() == "ready\n"
        with pytest.raises(Problem, match=r"^out: another process is writing it$"), folder(Path("out")):
            pass
        first.communicate("\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    with folder(Path("out")) as aside:
        (aside / "other").write_text("second")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["other"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path):
    (tmp_path / ".out.partial" / "sub").mkdir(parents=True)
    (tmp_path / ".out.partial" / "old").write_text("")
    with folder(tmp_path / "out") as aside:
        assert list(aside.iterdir()) == []
        np.save(aside / "new.npy", np.zeros(3))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out", "params.yaml"]


def test_torch_says_that_memory_is_out_in_a_runtime_error(monkeypatch):
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert ended(monkeypatch, raised.value).startswith("train_mine: out of memory")


def test_npz_files_have_equal_bytes_from_every_python(tmp_path):
    """These hashes are those of Python 3.11.2, 3.11.7, 3.12.1 and 3.13.0; `numpy.savez` differs before 3.11.4."""
    arrays, matrix = tmp_path / "arrays.npz", tmp_path / "matrix.npz"
    write_npz(arrays, item=np.arange(3, dtype=np.int32), names=np.array(["a", "bc"]))
    write_sparse(matrix, sp.csr_matrix(np.array([[0, 1.5], [2, 0]], np.float32)))
    with np.load(arrays, allow_pickle=False) as file:
        assert {name: file[name].tolist() for name in file} == {"item": [0, 1, 2], "names": ["a", "bc"]}
    loaded = sp.load_npz(matrix)
    assert (loaded.format, loaded.dtype, loaded.toarray().tolist()) == ("csr", np.float32, [[0, 1.5], [2, 0]])
    assert sha256(arrays) == "fb757a3ef9289ae8db0ab7eb039c7436d343f8709e4ee4067aa93e46dd707a1f"
    assert sha256(matrix) == "4c9356b8c48de9d2b7854e2d74708cb94d79909ba51e6df13803fc94e3db1780"
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_npz(arrays, item=np.array([None]))


def test_no_module_writes_npz_files_in_another_way():
    other = re.compile(r"savez|save_npz")
    assert [path.name for path in SRC.rglob("*.py") if other.search(path.read_text())] == ["stage.py"]  # a docstring
