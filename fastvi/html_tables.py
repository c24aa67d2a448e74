"""Tables for notebooks and pages: plain HTML, every cell escaped."""

import html
from collections.abc import Iterable, Sequence


def html_table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), notes: Iterable[str] = ()) -> str:
    """Rows of text, whose first cells name them, under a head; notes below."""
    lines = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in head)}</tr>"] if head else []
    for name, *cells in rows:
        lines.append(f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{html.escape(c)}</td>' for c in cells)}</tr>")
    below = "<br>".join(html.escape(note) for note in notes)
    return f"<table>{''.join(lines)}</table>{f'<p>{below}</p>' if below else ''}"
