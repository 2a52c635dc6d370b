"""Run all stages in one process: python tests/machines.py PARAMS FOLDER. Variables stand in for other processors."""

import sys
from pathlib import Path

import check
import evaluate
import features
import fetch
import index
import prepare
import train_baselines
import train_dssm
import train_lightfm
from retrieval.params import read

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
    train_baselines.main(read(train_baselines.TrainBaselinesParams, params), encoded, models)
    train_lightfm.main(read(train_lightfm.TrainLightFMParams, params), encoded, models / "lightfm")
    train_dssm.main(read(train_dssm.TrainDSSMParams, params), encoded, models / "dssm")
    evaluate.main(read(evaluate.EvaluateParams, params), prepared, encoded, models, root / "metrics", root / "plots")
    index_metrics = root / "metrics" / "index.json"
    index.main(read(index.IndexParams, params), prepared, encoded, models, models / "catalogue", index_metrics)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
