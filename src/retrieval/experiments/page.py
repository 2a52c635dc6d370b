"""The report of a change as one HTML page that contains its pictures and loads nothing."""

import base64
import io
from html import escape
from textwrap import wrap

from retrieval.drawing.pictures import COLOURS, STYLE
from retrieval.experiments.change import Change, Plot
from retrieval.experiments.markdown import INTERVALS, format_difference, format_value, metric_names, ranked, verdict

import matplotlib as mpl
from matplotlib.figure import Figure

CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1180px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: 4px 12px; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 1.5em; }
figure { margin: 0; } figcaption { color: #666; font-size: 13px; } img { max-width: 100%; }
.better { color: #00694b; } .worse { color: #b34700; } td.note { color: #666; }
code { background: #f4f4f4; padding: 1px 4px; }
"""


def render(change: Change) -> str:
    """The page."""
    title = f"{escape(change.base)} → {escape(change.head)}"
    plots = "".join(
        f"<figure>{_image(draw(plot, change.base, change.head), 'svg+xml')}"
        f"<figcaption>{escape(plot.name)}{'' if plot.differs else ' (unchanged)'}</figcaption></figure>"
        for plot in change.plots
    )
    pictures = "".join(
        f"<h3>{escape(name)}</h3><div class=plots>{''.join(map(_picture, parts, parts.values()))}</div>"
        for name, parts in change.pictures.items()
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in change.notes)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{CSS}</style>"
        f"<h1>{title}</h1>{notes}<h2>Parameters</h2>{_params(change)}<h2>Metrics</h2>{_metrics(change)}"
        f"<h2>Plots</h2>"
        f"<div class=plots>{plots}</div><h2>Pictures</h2>{pictures}</html>\n"
    )


def draw(plot: Plot, base: str, head: str) -> bytes:
    """SVG with the base dashed. Colours tell lines apart, or the two revisions if the plot has one line."""
    single, palette = len(plot.lines) == 1, (*COLOURS, "black")
    with mpl.rc_context(STYLE | {"svg.hashsalt": plot.name}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        for place, (field, revisions) in enumerate(plot.lines.items()):
            for revision, (x, y) in revisions.items():
                own = COLOURS[0 if revision == base else 4]
                colour = own if single else palette[place % len(palette)]
                label = revision if single else field if revision == head else None
                style, marker = "--" if revision == base else "-", "o" if len(x) == 1 else None
                axes.plot(x, y, style, color=colour, label=label, marker=marker, linewidth=1.6)
        axes.set_title("\n".join(wrap(plot.title, 60)))
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        axes.grid(alpha=0.25)
        note = {} if single else {"title": f"dashed: {base}, solid: {head}"}
        figure.legend(loc="outside lower center", ncols=4, fontsize=8, title_fontsize=8, **note)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _image(data: bytes, kind: str) -> str:
    return f'<img alt="" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _picture(revision: str, data: bytes) -> str:
    return f"<figure>{_image(data, 'png')}<figcaption>{escape(revision)}</figcaption></figure>"


def _params(change: Change) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{escape(format_value(old))}<td>{escape(format_value(new))}"
        for name, (old, new) in sorted(change.params.items())
    )
    head = f"<tr><th>parameter<th>{escape(change.base)}<th>{escape(change.head)}"
    return f"<table>{head}{rows}</table>" if rows else "<p>No parameter differs.</p>"


def _metrics(change: Change) -> str:
    names = metric_names(change)
    rows = []
    for model in ranked(change):
        cells = []
        for name in names:
            old, new = change.metrics[model].get(name, (None, None))
            difference = format_difference(old, new, change.noise.get(model, {}).get(name))
            cells.append(f"<td>{format_value(new)}<td class={verdict(change, model, name) or 'note'}>{difference}")
        rows.append(f"<tr><td>{escape(model)}{''.join(cells)}")
    head = "".join(f"<th>{escape(name)}<th>change" for name in names)
    note = f"<p>{INTERVALS} A larger one is coloured." if change.noise else ""
    return f"<table><tr><th>model{head}{''.join(rows)}</table>{note}" if rows else "<p>No metrics.</p>"
