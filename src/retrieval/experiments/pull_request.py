"""The report of a change: metrics, parameters and plots of two revisions, as one HTML page and one Markdown file.

The page contains its pictures and loads nothing. The Markdown is for a comment or a job summary on GitHub: it has
Mermaid charts, and with --raw it links to the pictures in the repository.
"""

import argparse
from pathlib import Path

from retrieval.experiments import markdown, page
from retrieval.experiments.change import compare
from retrieval.experiments.repository import command

MARK = "<!-- retrieval: report of a change -->"  # the workflow finds the comment to update by this line


def main() -> None:
    """Write report.html and report.md."""
    parser = argparse.ArgumentParser(prog="pull_request", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base", help="the revision to compare with: a branch, a commit or an experiment")
    parser.add_argument("head", nargs="?", help="the revision to report (default: the work tree)")
    parser.add_argument("--out", type=Path, default=Path("report"), help="output folder (default: report)")
    parser.add_argument("--raw", help="URL of the repository's raw files, for pictures in Markdown")
    options = parser.parse_args()
    change = compare(options.base, options.head)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("report.html", page.render(change)), ("report.md", markdown.render(change, MARK, options.raw))):
        (options.out / name).write_text(text, encoding="utf-8")
        print(options.out / name)


if __name__ == "__main__":
    command(main)
