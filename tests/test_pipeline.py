"""dvc.yaml, params.yaml and the code agree."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import train_baselines
from retrieval.baselines import BASELINES, Baselines
from retrieval.evaluation.options import PEERS
from retrieval.params import Section, load

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def resolve(stage: dict) -> dict:
    """The stage with its variables replaced by their values, as DVC does it."""
    variables = [pair for each in stage.get("vars", []) for pair in each.items()]
    text = json.dumps(stage)
    for name, value in variables:
        text = text.replace(f"${{{name}}}", value)
    return json.loads(text)


TEMPLATE = "src/train_${model}.py"  # in the deps of the stages that share the template of a model


def peer_stages() -> dict[str, dict]:
    """The stages of peers/dvc.yaml, as those of each of PEERS, whether params.yaml names it or not."""
    pipeline = yaml.safe_load((ROOT / "peers" / "dvc.yaml").read_text(encoding="utf-8"))
    assert all(each["matrix"] == {"model": "${peers}"} for each in pipeline["stages"].values())
    return {
        f"{name}_{peer}": json.loads(json.dumps(stage).replace("${item.model}", peer))
        for name, stage in pipeline["stages"].items()
        for peer in PEERS
    }


STAGES = {name: resolve(stage) for name, stage in PIPELINE["stages"].items()} | peer_stages()


def script(stage: str) -> Path:
    return ROOT / STAGES[stage]["cmd"].split()[1]


def schema(stage: str) -> type[Section]:
    """What the stage's main takes for `params`."""
    main = importlib.import_module(script(stage).stem).main
    return inspect.signature(main, eval_str=True).parameters["params"].annotation


def module_files(name: str) -> list[Path]:
    """The files of ours that importing the dotted name runs: the packages above it, and itself."""
    files = []
    path = SRC
    for part in name.split("."):
        path = path / part
        files += [f for f in (path / "__init__.py", path.with_suffix(".py")) if f.exists()]
    return files


def imports(file: Path) -> set[Path]:
    """Every file of ours that `file` imports at its top or inside a function, straight or through another."""
    found: set[Path] = set()
    queue = [file]
    while queue:
        current = queue.pop()
        if current not in found:
            found.add(current)
            queue += direct_imports(current)
    return found


def direct_imports(file: Path) -> list[Path]:
    """Files of ours that `file` imports itself, and the packages above them."""
    found: list[Path] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [f for name in names for f in module_files(name)]
    return found


def names(entries: list) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outs(stage: dict) -> list[str]:
    return names([*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])])


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_every_local_file_that_the_stage_imports(stage):
    """A folder stands for all of its files, and is named only by a stage that imports each of them.

    The template of a model of one script lists all modules that such a script may import.
    """
    listed = [ROOT / dep for dep in names(STAGES[stage]["deps"]) if dep.split("/")[0] == "src"]
    files = {file for dep in listed for file in ([dep] if dep.is_file() else dep.rglob("*.py"))}
    needed = imports(script(stage))
    assert not needed - files, f"add to the deps of {stage} in dvc.yaml: {relative(needed - files)}"
    if stage == "check":
        assert files == set(SRC.rglob("*.py"))
    elif stage not in PIPELINE["stages"] or TEMPLATE not in PIPELINE["stages"][stage]["deps"]:
        assert not files - needed, f"remove from the deps of {stage} in dvc.yaml: {relative(files - needed)}"


def relative(files: set[Path]) -> str:
    return ", ".join(sorted(str(file.relative_to(ROOT)) for file in files))


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_keys_that_the_stage_reads(stage):
    kind = schema(stage)
    assert issubclass(kind, Section)
    listed = STAGES[stage].get("params", [])
    if listed == [{"params.yaml": None}]:
        others = set(kind.model_fields) ^ set(load(ROOT / "params.yaml"))
        assert not others, f"in params.yaml or in a base of CheckParams in src/check.py, and not in both: {others}"
    elif kind is train_baselines.TrainBaselinesParams:
        expected = baseline_params(stage.removeprefix("train_"))
        assert listed == expected, f"the params of {stage} in dvc.yaml: expected {expected}"
    else:
        expected = list(kind.model_fields)
        found = {key.split(".")[0] for key in listed}
        assert found == set(expected), f"the params of {stage} in dvc.yaml: expected {expected}"


def baseline_params(name: str) -> list[str]:
    return ["seed", *([f"baselines.{name}"] if name in Baselines.model_fields else [])]


@pytest.mark.parametrize("stage", STAGES)
def test_paths_on_the_command_line_are_the_stages_deps_and_outs(stage):
    paths = [path for path in STAGES[stage]["cmd"].split()[2:] if not path.endswith(".run.json")]
    assert STAGES[stage]["cmd"].startswith("python src/")
    files = [*names(STAGES[stage].get("deps", [])), *outs(STAGES[stage])]
    files = [file for file in files if file.split("/")[0] not in ("src", "${folder}")]
    for path in paths:
        assert any(file == path or file.startswith(f"{path}/") for file in files), path
    for file in files:
        assert any(file == path or file.startswith(f"{path}/") for path in paths) or file == "data/checked", file


def test_every_file_that_dvc_yaml_names_exists():
    """Those of the template of a model, too, which no stage may use."""
    paths = re.findall(r"\bsrc/[\w/]+\.py", (ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert not {path for path in paths if not (ROOT / path).exists()}


def test_every_stage_says_what_it_makes():
    descriptions = [stage["desc"] for stage in STAGES.values()]
    assert all(descriptions)
    assert len(set(descriptions)) == len(descriptions)


def test_every_model_has_its_stages_and_its_artifact():
    """A name in `models` is trained, evaluated and can be downloaded; models of vectors have indexes besides."""
    models = load(ROOT / "params.yaml")["models"]
    assert not (missing := set(BASELINES) - set(models)), f"add to models in params.yaml: {missing}"
    for group, folder in (("train", "models"), ("evaluate", "data/evaluation")):
        made = {name.split("_", 1)[1]: outs(STAGES[name]) for name in STAGES if name.startswith(f"{group}_")}
        made.pop("external", None)
        assert not (missing := set(made) - {*models, *PEERS}), (
            f"add to models in params.yaml, or drop their stages: {missing}"
        )
        for model in (*models, *PEERS):
            assert model in made, f"add to stages in dvc.yaml: {stage_line(group, model)}"
            assert made[model] == [f"{folder}/{model}"]
    paths = {each["path"] for each in PIPELINE["artifacts"].values()}
    for model in models:
        line = f"{model.replace('_', '-')}: {{path: models/{model}, type: model, desc: ..., labels: [...]}}"
        assert f"models/{model}" in paths, f"add to artifacts in dvc.yaml: {line}"
    for model in (name for name, baseline in BASELINES.items() if baseline.kind == "vectors"):
        assert f"index_{model}" in STAGES, f"add to stages in dvc.yaml: {stage_line('index', model)}"


def stage_line(group: str, model: str) -> str:
    """The line of dvc.yaml that makes a stage of a model out of the template of its group."""
    own = group == "train" and model in BASELINES
    anchor = "baseline" if own else "model" if group == "train" else group
    params = f", params: [{', '.join(baseline_params(model))}]" if own else ""
    return f"{group}_{model}: {{<<: *{anchor}, vars: [{{model: {model}}}]{params}}}"


def test_every_script_is_a_stage_and_every_key_of_params_is_read():
    assert set(SRC.glob("*.py")) == {script(stage) for stage in STAGES}
    read = {key for stage in STAGES for key in schema(stage).model_fields if stage != "check"}
    assert read == set(load(ROOT / "params.yaml"))


def test_the_check_comes_before_everything():
    assert "data/checked" in STAGES["fetch"]["deps"]
    made = {out for stage in STAGES.values() for out in outs(stage)}
    for stage in set(STAGES) - {"check", "fetch"}:
        deps = [dep for dep in names(STAGES[stage]["deps"]) if dep != "data/checked"]
        assert any(out == dep or out.startswith(f"{dep}/") for dep in deps for out in made)


def test_outs_that_git_keeps_are_metrics_and_plots():
    """An uncached entry under `outs` switches off the run cache of its stage: only of the one that takes a second."""
    for name, stage in STAGES.items():
        cached = [isinstance(out, str) or next(iter(out.values())).get("cache", True) for out in stage.get("outs", [])]
        assert all(cached) or name == "evaluate"


def test_the_metrics_of_dvc_are_the_summary_alone_and_no_metrics_are_plots():
    """Each number of a metrics file is a column of `dvc exp show`, and each plots file a plot, drawn once."""
    files = {key: [name for stage in STAGES.values() for name in names(stage.get(key, []))]
             for key in ("metrics", "plots")}  # fmt: skip
    assert files["metrics"] == ["metrics/summary.json"]
    assert all(name.startswith("plots/") for name in files["plots"])
    drawn = [name for plot in PIPELINE["plots"] for each in plot.values() for name in each["y"]]
    assert not set(files["plots"]) & set(drawn)


def test_importing_a_module_does_nothing_but_define():
    """At the top of a module stand a docstring, imports, definitions and constants."""
    for file in SRC.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            allowed = (ast.Import, ast.ImportFrom, *definitions, ast.Assign, ast.AnnAssign, ast.If)
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            environment = file.name == "__init__.py" and "os.environ" in ast.unparse(node)
            assert isinstance(node, allowed) or docstring or environment, f"{file}:{node.lineno}"


# What a package or a module of the ground floor may import: those of its own line, and of the lines above it.
ORDER = (
    {"errors", "params", "stage", "runs", "progress", "divergence", "torchrun"},
    {"sources"},
    {"preparation"},
    {"ids", "histories", "encode", "text", "columns", "vocabulary", "matrices", "ranking", "inverse"},
    {"baselines", "lightfm", "sasrec", "cooccurrence", "repeats"},
    {"dssm"},
    {"newcomers", "newitems"},
    {"training"},
    {"evaluation"},
    {"drawing"},
    {"search"},
    {"serving"},
    {"experiments", "recommend"},
)
APART = {"evaluation": {"training", "sources"}, "search": {"training", "evaluation", "sources"}}


def test_arrows_between_packages_point_one_way():
    """A loss or a sampler must not rerun `evaluate` or `index`: these packages do not import `training` at all."""
    rank = {name: place for place, names in enumerate(ORDER) for name in names}
    library = SRC / "retrieval"
    assert {path.stem for path in library.iterdir()} - {"__init__", "__pycache__"} == set(rank)
    for file in library.rglob("*.py"):
        own = file.relative_to(library).parts[0].removesuffix(".py")
        inside = [path for path in direct_imports(file) if path.is_relative_to(library)]
        assert own == "experiments" or inside == direct_imports(file), f"{file}: must not import a script"
        for other in {path.relative_to(library).parts[0].removesuffix(".py") for path in inside}:
            if own != "__init__" != other:
                assert rank[other] <= rank[own], f"{file}: {own} must not import {other}"
                assert other not in APART.get(own, ()), f"{file}: {own} must not import {other}"


def test_no_class_name_has_two_meanings():
    defined = [
        n.name for f in SRC.rglob("*.py") for n in ast.walk(ast.parse(f.read_text())) if isinstance(n, ast.ClassDef)
    ]
    assert len(defined) == len(set(defined)), sorted({name for name in defined if defined.count(name) > 1})


def test_openmp_is_told_to_sleep_before_torch_is_loaded():
    """Idle threads that spin make two busy processes many times slower; OpenMP reads this once, when it is loaded."""
    order = "list(sys.modules).index('retrieval') < list(sys.modules).index('torch')"
    code = f"import os, sys, train_dssm; print(os.environ['GOMP_SPINCOUNT'], {order})"
    run = subprocess.run([sys.executable, "-c", code], cwd=SRC, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["3000", "True"]
