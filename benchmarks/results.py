"""benchmarks/results.json: each benchmark writes its own keys and keeps the others."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from retrieval.stage import write_json

import torch

ROOT = Path(__file__).parents[1]  # of the repository
PATH = ROOT / "benchmarks" / "results.json"


def record(**values: Any) -> None:
    """Write these keys, and in `machines` the machine that each was measured on."""
    known = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    machines = {**known.get("machines", {}), **dict.fromkeys(values, machine())}
    write_json(PATH, {**known, **values, "machines": machines})
    for name, value in values.items():
        print(f"{name}: {value}")


def machine() -> dict[str, Any]:
    """Processor, cores and threads."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
