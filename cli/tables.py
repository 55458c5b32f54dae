"""Tables for people, drawn by rich: in a pipe without colours, and as wide as they are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from cli.visible import visible

_WIDE = 4000


def table(headings: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]], *, fit: bool = False) -> str:
    """Rows of cells, each a text and its style ("" for none), under headings (none: no line of them).

    What others have chosen is in them as text alone. With `fit` what is too wide for a terminal is cut off there.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if fit and sys.stdout.isatty() else _WIDE, highlight=False)
    bold = "bold" if console.is_terminal else ""
    made = Table(box=None, pad_edge=False, header_style=bold, padding=(0, 2, 0, 0), show_header=bool(headings))
    for heading in headings:
        made.add_column(heading, no_wrap=True)
    for row in rows:
        made.add_row(*(Text(visible(text), style=style) for text, style in row))
    with console.capture() as captured:
        console.print(made)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
