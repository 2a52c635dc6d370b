"""Run the whole pipeline on `kion-synthetic`: seconds and peak memory of every stage, and MAP of every model.

A stage that runs once per model has the sum of its seconds and the largest of its peaks.

Run `PYTHONPATH=src:benchmarks python studies/pipeline.py [scale] [KEY=VALUE ...]` on an otherwise idle machine. Scale
1, the default, takes twenty minutes on two cores. It runs the last commit in a clone and writes the key
`pipeline_<scale>` of studies/pipeline.json.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from retrieval.stage import write_json

import psutil
from results import ROOT, machine
from scale import peak

PATH = Path(__file__).with_name("pipeline.json")


def stages(process: psutil.Process) -> dict[int, str]:
    """Process id -> stage, of the stage scripts that run at the moment."""
    found = {}
    for child in process.children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if len(words) > 1 and "python" in words[0] and words[1].startswith("src/"):
            found[child.pid] = Path(words[1]).stem
    return found


def main() -> None:
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    costs: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        settings = ["data=kion-synthetic", f"synthetic.scale={scale}", *sys.argv[2:]]
        command = ["dvc", "exp", "run", *(word for one in settings for word in ("-S", one))]
        start, begun, spent = time.perf_counter(), dict[int, float](), dict[str, dict[int, float]]()
        process = subprocess.Popen(command, cwd=folder)
        while process.poll() is None:
            now = time.perf_counter()
            for pid, stage in stages(psutil.Process(process.pid)).items():
                each = spent.setdefault(stage, {})
                each[pid] = now - begun.setdefault(pid, now)
                cost = costs.setdefault(stage, {"seconds": 0.0, "megabytes": 0})
                cost |= {"seconds": round(sum(each.values()), 1), "megabytes": max(cost["megabytes"], peak(pid))}
            time.sleep(0.1)
        if process.returncode:
            sys.exit("dvc exp run failed")
        costs["all"] = {"seconds": round(time.perf_counter() - start, 1)}
        models = json.loads(Path(folder, "metrics", "metrics.json").read_text(encoding="utf-8"))
    quality = {name: values["map@10"] for name, values in models.items()}
    others = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    result = {"machine": machine(), "settings": settings, "stages": costs, "map@10": quality}
    write_json(PATH, {**others, f"pipeline_{scale:g}": result})


if __name__ == "__main__":
    main()
