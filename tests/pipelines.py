"""The stages fetch, prepare and features, run in this process on a folder of files."""

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import features
import fetch
import prepare
from retrieval import histories, stage
from retrieval.histories import Features

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dvc.utils.hydra import apply_overrides
from repositories import ROOT

STAGES = {
    "fetch": (fetch, "raw"),
    "prepare": (prepare, "raw", "prepared"),
    "features": (features, "prepared", "features"),
}
Content = str | bytes | pa.Table


@dataclass
class Run:
    """What the stages have said, and written below `root`. `refused`: the line with which one ended, "" if none did."""

    root: Path
    said: list[str] = field(default_factory=list)
    refused: str = ""

    @property
    def stats(self) -> dict[str, Any]:
        """prepared/stats.json."""
        return json.loads((self.root / "prepared" / "stats.json").read_text(encoding="utf-8"))

    @property
    def kept(self) -> dict[str, int]:
        """The rows of train, test and cold, and of cold_items if there are any."""
        rows = self.stats["interactions"]["kept"]
        return {name: count for name, count in rows.items() if count or name != "cold_items"}

    @property
    def dropped(self) -> dict[str, int]:
        """The rows that were dropped, by reason, without reasons of no row."""
        return {reason: rows for reason, rows in self.stats["interactions"]["dropped"].items() if rows}

    @property
    def features(self) -> Features:
        """The folder of features."""
        return histories.load(self.root / "features")

    @property
    def files(self) -> dict[str, bytes]:
        """The bytes of all files of prepared and features."""
        paths = [path for name in ("prepared", "features") for path in sorted((self.root / name).iterdir())]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}

    def table(self, name: str) -> pa.Table:
        """A parquet file, such as prepared/test."""
        return pq.read_table(self.root / f"{name}.parquet")

    def pairs(self, name: str = "prepared/test") -> set[tuple[Any, Any]]:
        """User and item of the rows of a parquet file."""
        table = self.table(name)
        return set(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def put(folder: Path, files: Mapping[str, Content]) -> Path:
    """Write files into a folder: text in UTF-8, bytes, or tables as parquet."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def run(root: Path, files: Mapping[str, Content], *settings: str) -> Run:
    """Run the stages in `root` on a folder `mine` of these files; settings: NAME=VALUE, as for `dvc exp run -S`."""
    root.mkdir(parents=True, exist_ok=True)
    put(root / "mine", files)
    shutil.copy(ROOT / "params.yaml", root)
    apply_overrides(str(root / "params.yaml"), ["data=folder", "folder=mine", *settings])
    return run_stages(root)


def run_stages(root: Path) -> Run:
    """Run the stages in `root`, which has a params.yaml."""
    result, stderr = Run(root), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(stderr):
        patch.chdir(root)
        for name, (module, *paths) in STAGES.items():
            patch.setattr(sys, "argv", [f"src/{name}.py", *paths])
            try:
                stage.run(module.main)
            except SystemExit as end:
                result.refused = str(end.code)
                break
    result.said = stderr.getvalue().splitlines()
    return result
