"""The whole of `dvc exp run -S data=kion-synthetic`, as it is typed: seconds and peak memory of every stage, and MAP.

Run as `PYTHONPATH=src python benchmarks/pipeline.py [scale] [KEY=VALUE ...]` on a machine that does nothing else: an
hour on two cores at scale 1, the default; `train.epochs=3 lightfm.epochs=5` takes a third of it and as much
memory. It runs in a clone of what is committed and writes the key `pipeline_<scale>` of results.json.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from results import record
from scale import ROOT, peak


def stages(process: psutil.Process) -> dict[int, str]:
    """The stage scripts that run now, by the id of their process."""
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
        start, begun = time.perf_counter(), dict[int, float]()
        process = subprocess.Popen(command, cwd=folder)
        while process.poll() is None:
            now = time.perf_counter()
            for pid, stage in stages(psutil.Process(process.pid)).items():
                seconds = now - begun.setdefault(pid, now)
                cost = costs.setdefault(stage, {"seconds": 0.0, "megabytes": 0})
                cost |= {"seconds": round(seconds, 1), "megabytes": max(cost["megabytes"], peak(pid))}
            time.sleep(0.1)
        if process.returncode:
            sys.exit("dvc exp run failed")
        costs["all"] = {"seconds": round(time.perf_counter() - start, 1)}
        models = json.loads(Path(folder, "metrics", "metrics.json").read_text(encoding="utf-8"))
    quality = {name: values["map@10"] for name, values in models.items()}
    record(**{f"pipeline_{scale:g}": {"settings": settings, "stages": costs, "map@10": quality}})


if __name__ == "__main__":
    main()
