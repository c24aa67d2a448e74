"""The gallery for people: one HTML page that holds everything, or a folder of pictures."""

import base64
import html
import io
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..html_tables import html_table
from ..info import versions
from . import gallery, program_figures
from .gallery import Drawn

FIGURES = {**gallery.FIGURES, **program_figures.FIGURES}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { margin: 3rem 0; } figure img { width: 100%; height: auto; } figcaption { margin: .5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; overflow-x: auto; }
th, td { font-weight: normal; text-align: left; padding: .15rem 1.5rem .15rem 0; border-bottom: 1px solid #e4e8ec; }
h2 { font-size: 1.2rem; } summary, footer { color: #4c5866; }
"""
INTRODUCTION = "Every number and curve is computed by fastvi's own estimators as this page is made."


def figures(names: Sequence[str], tell: Callable[[str], object] | None = None) -> Iterator[tuple]:
    """(name, matplotlib figure, Drawn) of each; ``tell`` is told a name before it is drawn.

    Raises
    ------
    ImportError
        without matplotlib, the extra ``plot``
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("the gallery needs matplotlib: pip install 'fastvi[plot]'") from None
    for name in names:
        if tell is not None:
            tell(name)
        _, function, columns, size = FIGURES[name]
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = np.atleast_1d(figure.subplots(1, columns))
        for ax in axes:
            ax.spines[["top", "right"]].set_visible(False)
        yield name, figure, function(axes)


def folder(out, names: Sequence[str] = tuple(FIGURES), tell=None) -> list[pathlib.Path]:
    """Write each figure into the folder ``out`` as PNG, and their captions to captions.md; the files written."""
    out = pathlib.Path(out)
    files, captions = [], ["# Gallery", "", INTRODUCTION, ""]
    for name, figure, drawn in figures(names, tell):
        out.mkdir(parents=True, exist_ok=True)
        files.append(out / f"{name}.png")
        figure.savefig(files[-1])
        captions += [f"## {FIGURES[name][0]}", "", f"![{name}]({name}.png)", "", drawn.caption, ""]
    files.append(out / "captions.md")
    files[-1].write_text("\n".join(captions), encoding="utf-8")
    return files


def page(out, names: Sequence[str] = tuple(FIGURES), tell=None) -> pathlib.Path:
    """Write all figures with their captions and numbers to one HTML file, which needs no other; the file."""
    parts = [section(name, picture(figure), drawn) for name, figure, drawn in figures(names, tell)]
    known = versions()
    made = ", ".join(f"{name} {known[name]}" for name in ("fastvi", "numba", "numpy", "python"))
    text = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>fastvi: gallery</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body><h1>Gallery</h1>'
        f"<p>{INTRODUCTION}</p>\n{''.join(parts)}<footer>Made by <code>python -m fastvi gallery</code> with "
        f"{html.escape(made)}.</footer></body></html>\n"
    )
    out = pathlib.Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    return out


def picture(figure) -> str:
    """A figure as the address of an SVG image that holds itself, the same bytes for the same figure."""
    import matplotlib

    found = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "fastvi"}):
        figure.savefig(found, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(found.getvalue()).decode("ascii")


def section(name: str, source: str, drawn: Drawn) -> str:
    """A figure with its caption and its numbers as HTML."""
    title, (head, *rows) = html.escape(FIGURES[name][0]), drawn.numbers
    return (
        f'<figure id="{name}"><h2>{title}</h2><img src="{source}" alt="{title}">'
        f"<figcaption>{html.escape(drawn.caption)}</figcaption>"
        f"<details open><summary>numbers</summary>{html_table(rows, head)}</details></figure>\n"
    )
