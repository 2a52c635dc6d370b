"""The README says what is so: its table is metrics/metrics.json, its tree is the tree, its commands exist."""

import json
import re
from pathlib import Path

from retrieval.params import load
from retrieval.training.losses import LOSSES

import pytest
from repositories import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = ("map@10", "ndcg@10", "recall@10", "novelty@10", "coverage@10")


def tracked(name: str) -> dict:
    """A file of metrics/ as git tracks it: results of a run that is not added yet may be of other data."""
    return json.loads(run(ROOT, "git", "show", f":metrics/{name}").stdout)


def table() -> str:
    """metrics.json as the README shows it, the best model first, and the mean over seeds below the DSSM."""
    metrics, seeds = tracked("metrics.json"), tracked("seeds.json")
    lines = [f"| model | {' | '.join(COLUMNS)} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for name in sorted(metrics, key=lambda name: -metrics[name]["map@10"]):
        lines.append(f"| {name} | {' | '.join(cell(column, metrics[name][column]) for column in COLUMNS)} |")
        if name == "dssm":
            means = [(column, seeds[name][column]) for column in COLUMNS]
            cells = (f"{cell(key, each['mean'])} ± {cell(key, each['deviation'])}" for key, each in means)
            lines.append(f"| {name}, mean of {seeds['seeds']} seeds | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(column: str, value: float) -> str:
    return f"{value:.{2 if column == 'novelty@10' else 4}f}"


def test_the_table_is_that_of_the_committed_metrics():
    assert table() in README, f"expected in README.md:\n{table()}"


def test_every_file_of_the_library_has_a_line_in_the_tree():
    tree = README.split("```text")[1].split("```")[0]
    for file in sorted((ROOT / "src").rglob("*.py")):
        named = file.name == "__init__.py" or re.search(rf"\b{file.stem}\b", tree)
        assert named, f"add {file.relative_to(ROOT)} to the tree in README.md"


def test_every_name_of_the_tree_exists():
    tree = README.split("```text")[1].split("```")[0]
    files = {path.name for path in ROOT.rglob("*.*") if ".venv" not in path.parts}
    for name in re.findall(r"[\w]+\.(?:py|md|yaml|lock|txt|toml|json|png)\b", tree):
        assert name in files, f"remove {name} from the tree in README.md, there is no such file"


def test_parameters_that_the_readme_sets_exist():
    keys = load(ROOT / "params.yaml")
    settings = re.findall(r"-S '?([\w.]+)=([\w.\-]+)", README)
    assert settings
    for name, _ in settings:
        value = keys
        for part in name.split("."):
            assert part in value, name
            value = value[part]
    assert {value for name, value in settings if name == "loss"} <= set(LOSSES)


@pytest.mark.parametrize("file", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))])
def test_links_lead_somewhere(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or ((ROOT / file).parent / target).exists(), target
