"""Tables on a terminal or in a text file, in which no number is ever cut: a number that is cut is a wrong number."""

from typing import IO

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDTH_OF_A_FILE = 120
WIDEST = 1_000


def console(file: IO[str], width: int | None = WIDTH_OF_A_FILE) -> Console:
    """Plain text, `width` columns wide; None: as wide as the terminal."""
    return Console(file=file, highlight=False, markup=False, width=width)


def table(*columns: str, title: str | None = None) -> Table:
    """A table without lines. A heading may end in ` >` (numbers: to the right) or ` …` (words: they alone may be broken
    into lines)."""
    made = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(
            column.removesuffix(" >").removesuffix("…").rstrip(),
            justify="right" if column.endswith(" >") else "left",
            no_wrap=not column.endswith("…"),
            overflow="fold",
        )
    return made


def show(console: Console, shown: Table | str) -> None:
    """Print it. A terminal that is too narrow breaks the lines of a table, which is better than to cut its columns."""
    width = console.width
    if isinstance(shown, Table):
        for column in shown.columns:
            if column.no_wrap:
                column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        console.width = max(width, Measurement.get(console, console.options.update(width=WIDEST), shown).minimum)
    console.print(shown)
    console.width = width
