"""Run all stages in one process: python tests/machines.py PARAMS FOLDER. Variables stand in for other processors."""

import sys
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import catalogue
import check
import evaluate
import evaluate_external
import evaluate_model
import features
import fetch
import index
import maps
import prepare
import train_baselines
from retrieval import matrices
from retrieval.baselines import BASELINES
from retrieval.params import read
from retrieval.search.indexes import has_index

OLD_NUMPY = "SSSE3 SSE41 POPCNT SSE42 AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
NEW_NUMPY = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
OLD_GLIBC = "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX,-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ"

# Name -> environment. Each library picks its kernels by the processor, or by its own variable.
MACHINES = {
    "this one, 2 threads": {"OMP_NUM_THREADS": "2"},
    "without vector instructions, 4 threads": {
        "OMP_NUM_THREADS": "4",
        "OPENBLAS_NUM_THREADS": "4",
        "OPENBLAS_CORETYPE": "Nehalem",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "COMPATIBLE",
        "ATEN_CPU_CAPABILITY": "default",
        "NPY_DISABLE_CPU_FEATURES": OLD_NUMPY,
        "GLIBC_TUNABLES": OLD_GLIBC,
        "FAISS_SIMD_LEVEL": "NONE",
    },
    "AVX2, 1 thread": {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Haswell",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "NPY_DISABLE_CPU_FEATURES": NEW_NUMPY,
        "FAISS_SIMD_LEVEL": "AVX2",
    },
}


def main(params: Path, root: Path) -> None:
    """Everything that `dvc repro` makes, in the folder `root`."""
    raw, prepared, encoded, models = (root / name for name in ("raw", "prepared", "features", "models"))
    read(check.CheckParams, params, everything=True)
    fetch.main(read(fetch.FetchParams, params), raw)
    prepare.main(read(prepare.PrepareParams, params), raw, prepared)
    features.main(read(features.FeaturesParams, params), prepared, encoded)
    names = read(evaluate.EvaluateParams, params).models
    for name in names:
        train = train_baselines if name in BASELINES else import_module(f"train_{name}")
        train.main(read(get_type_hints(train.main)["params"], params), encoded, models / name)
    evaluation, indexes = root / "evaluation", models / "indexes"
    options = read(evaluate_model.EvaluateModelParams, params)
    for name in names:
        evaluate_model.main(options, prepared, encoded, models / name, evaluation / name)
    options = read(evaluate_external.EvaluateExternalParams, params)
    evaluate_external.main(options, prepared, encoded, models / "external", evaluation / "external")
    for name in names:
        if has_index(matrices.load(models / name)):
            index.main(read(index.IndexParams, params), encoded, models / name, indexes / name)
    catalogue.main(read(catalogue.CatalogueParams, params), prepared, encoded, models / "catalogue")
    evaluate.main(read(evaluate.EvaluateParams, params), evaluation, indexes, root / "metrics", root / "plots")
    maps.main(read(maps.MapsParams, params), prepared, encoded, models / "dssm", root / "plots")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
