"""What stage scripts share: a command line from the signature, one-line errors, outputs that are whole or absent."""

import argparse
import fcntl
import hashlib
import inspect
import json
import os
import shutil
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from retrieval.errors import DEBUG, Problem, explain, writing
from retrieval.params import read

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

FORMAT = 2  # of cards and the folders that they describe; raise it when an older reader would misread them


def run(main: Callable[..., None], everything: bool = False) -> None:
    """Run a stage: `main(params: <Section>, *paths: Path)`; the paths come from the command line, in order.

    With `everything`, other keys in params.yaml are an error. Every exception is printed as one line on stderr, with
    exit code 1; Ctrl-C as one line, with exit code 130. Tracebacks are printed if RETRIEVAL_DEBUG is set.
    """
    signature = inspect.signature(main, eval_str=True)
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    for name in signature.parameters:
        if name != "params":
            parser.add_argument(name, type=Path)
    paths = vars(parser.parse_args()).values()
    name, is_script = Path(sys.argv[0]).stem, main.__module__ == "__main__"
    leave = end if is_script else sys.exit
    try:
        main(read(signature.parameters["params"].annotation, everything=everything), *paths)
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        leave(f"{name}: {explain(error)}")  # while `error` holds its open files: closing them may fail again
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        leave(130)
    if is_script:
        end()


def end(outcome: str | int | None = None) -> NoReturn:
    """End this process as `sys.exit(outcome)` does, but at once: no destructor and no other thread runs.

    Threads of Arrow and of torch.distributed that outlive their work may abort a process that takes its time
    (https://github.com/apache/arrow/issues/34314).
    """
    if isinstance(outcome, str):
        print(outcome, file=sys.stderr)
        outcome = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(outcome or 0)


@contextmanager
def folder(out: Path) -> Iterator[Path]:
    """A new folder to write into. It replaces `out` when the block ends without an error: `out` is never incomplete.

    Raises `Problem` if another process is writing `out`.
    """
    aside = out.with_name(f".{out.name}.partial")
    with _locked(aside, out):
        try:
            with writing(out):
                yield aside
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        shutil.rmtree(out, ignore_errors=True)
        os.replace(aside, out)


@contextmanager
def _locked(aside: Path, out: Path) -> Iterator[None]:
    """An empty folder `aside` that no other process has. A killed one leaves it behind, but no lock."""
    while True:
        aside.mkdir(parents=True, exist_ok=True)
        handle = os.open(aside, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise Problem(f"{out}: another process is writing it") from None
        if aside.exists() and os.path.samestat(os.fstat(handle), aside.stat()):
            break
        os.close(handle)  # of a folder that its owner has just moved to its place
    try:
        for path in aside.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        yield
    finally:
        os.close(handle)


@contextmanager
def file(out: Path) -> Iterator[Path]:
    """The path of a new file to write. It replaces `out` when the block ends without an error, else it is removed."""
    aside = out.with_name(f".{out.name}.partial")
    try:
        with writing(out):
            yield aside
        os.replace(aside, out)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people and `git diff` can read; NaN and infinity are refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file(path) as aside:
        aside.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """As `numpy.savez`, with equal bytes from every Python: its zip headers depend on the version of Python."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o600 << 16  # as on Unix, readable by its owner
            entry.file_size = array.nbytes  # tells `open` whether the entry needs the headers of more than 2 GiB
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write_sparse(path: Path, matrix: sp.csr_matrix) -> None:
    """As `scipy.sparse.save_npz`, by `write_npz`."""
    parts = {"indices": matrix.indices, "indptr": matrix.indptr, "data": matrix.data}
    write_npz(path, format=np.array(matrix.format.encode()), shape=np.array(matrix.shape), **parts)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a parquet file, or some of its columns, on this thread.

    The threads of `pyarrow.parquet.read_table` may still be at work when the process ends, and then abort it
    (https://github.com/apache/arrow/issues/34314).
    """
    path.stat()  # its FileNotFoundError has the name of the file, that of pyarrow has not
    with pq.ParquetFile(path) as file:
        return file.read(columns, use_threads=False)


def rounded(value: float) -> float:
    """Round to six significant digits: enough for any comparison, and `git diff` shows only real changes."""
    return float(f"{value:.6g}")


def sha256(path: Path) -> str:
    """The hash of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write the card of the folder that `path` lies in, as JSON: `card`, the format, and the hash of every file there.

    The card covers itself, too: "sha256" is the hash of all else in it.
    """
    files = {file.name: sha256(file) for file in sorted(path.parent.iterdir()) if file.is_file() and file != path}
    card = json.loads(json.dumps({"format": FORMAT, **card, "files": files}, allow_nan=False))
    write_json(path, {**card, "sha256": _hash(card)})


def read_card(path: Path, remedy: str) -> dict[str, Any]:
    """Read a card that `write_card` wrote, and compare all files with it. `remedy` is what to do if they differ.

    Raises `Problem` if the card or a file is missing, changed, or of another format.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            found = card.get("format") if isinstance(card, dict) else None
            raise Problem(f"{path}: its format is {found}, expected {FORMAT}: another version wrote it; {remedy}")
        if card.pop("sha256", None) != _hash(card):
            raise Problem(f"{path}: does not match its own hash: it has been edited or cut off; {remedy}")
        for name, expected in card["files"].items():
            if sha256(path.parent / name) != expected:
                raise Problem(f"{path.parent / name}: does not match its hash in {path.name}; {remedy}")
    except FileNotFoundError as error:
        raise Problem(f"{path.parent}: {Path(error.filename).name} is missing; {remedy}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise Problem(f"{path}: does not read: {error}; {remedy}") from None
    return card


def _hash(card: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
