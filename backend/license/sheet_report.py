"""What loading a sheet found wrong, and what it changed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from openpyxl.utils import get_column_letter

from license.headings import Heading
from license.sheet_cells import CellError, checked
from license.sheets import Sheet, SheetRow

MOST_LISTED = 50

Meaning = TypeVar("Meaning")


class SheetError(ValueError):
    """A file is not loaded, and nothing is changed. The text lists every problem, one a line."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value that a sheet changes, as text for people: of what, which, from, to."""

    of: str
    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.of} {self.field}: {self.old or 'none'} -> {self.new or 'none'}"


@dataclass(slots=True)
class Report:
    """What loading one sheet did, or would do."""

    title: str
    rows: int
    changes: list[Change] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """How many of what were changed, in the words of the summary."""
    unchanged: int = 0
    """Rows that say only what is so already."""
    notes: list[str] = field(default_factory=list)
    """Sentences for people on what was decided, or left alone."""


class Problems:
    """The problems of one sheet, each with its place: the first of them are listed, the others counted."""

    def __init__(self, sheet: Sheet, heading: Heading) -> None:
        self._sheet = sheet
        self._heading = heading
        self._listed: list[str] = []
        self._count = 0

    def add(self, line: int, column: str | None, message: str | Callable[[], str]) -> None:
        """Note a problem of a row, or of its cell in the column of that field. `message` is a predicate without a full
        stop, or makes one, where that is dear."""
        self._count += 1
        if self._count <= MOST_LISTED:
            text = message if isinstance(message, str) else message()
            self._listed.append(f"{self.place(line, column)} {text}.")

    def place(self, line: int, column: str | None = None) -> str:
        """Where that is: `items.csv:7: column B (Sr.No)`."""
        sheet = self._sheet
        row = f"{sheet.file}:{line}:" if sheet.unit == "line" else f"{sheet.file}: row {line}:"
        if column is None or column not in self._heading.places:
            return row
        at = self._heading.places[column]
        return f"{row} column {get_column_letter(at + 1)} ({sheet.heading.cells[at]})"

    @property
    def unit(self) -> str:
        """What this file is counted in, for messages that name another row."""
        return self._sheet.unit

    def raise_any(self) -> None:
        """Raise SheetError if there is any problem."""
        if self._count:
            more = [f"… and {self._count - MOST_LISTED:,} more."] if self._count > MOST_LISTED else []
            errors = f"{self._count:,} error{'s' if self._count > 1 else ''}"
            head = f"{self._sheet.file} has {errors}; nothing is changed."
            raise SheetError("\n".join([head, *self._listed, *more]))


class Cells:
    """The cells of one row by the fields of their columns. What is wrong with them goes to the problems."""

    def __init__(self, row: SheetRow, heading: Heading, problems: Problems) -> None:
        self.line = row.line
        self._row = row
        self._places = heading.places
        self._problems = problems
        self.wrong: set[str | None] = set()
        """The columns with a problem; None stands for the row as a whole."""

    def get(self, column: str, meaning: Callable[[str], Meaning]) -> Meaning | None:
        """What the cell means; None where it is blank, has no column, or is wrong."""
        place = self._places.get(column)
        cell = self._row.cells[place] if place is not None and place < len(self._row.cells) else ""
        if not cell:
            return None
        try:
            return meaning(checked(cell))
        except CellError as error:
            self.refuse(column, f"{quoted(cell)} {error}")
            return None

    def refuse(self, column: str | None, message: str | Callable[[], str]) -> None:
        """Note a problem of this row."""
        self.wrong.add(column)
        self._problems.add(self.line, column, message)


def read_rows(sheet: Sheet, heading: Heading, problems: Problems) -> Iterator[Cells]:
    """The rows of the sheet. One with more cells than the heading is a problem: a separator in a text moves cells."""
    width = len(sheet.heading.cells)
    for row in sheet.rows:
        cells = Cells(row, heading, problems)
        for place, cell in enumerate(row.cells[width:], start=width + 1):
            if cell:
                cells.refuse(None, partial(_stray, place, cell))
                break
        yield cells


def _stray(place: int, cell: str) -> str:
    return (
        f"column {get_column_letter(place)} {quoted(cell)} stands under no heading; put quotation marks around a text "
        "that holds the separator, or name the column"
    )


def quoted(text: str) -> str:
    """The text in quotation marks, the end of a long one left out."""
    return f"'{text if len(text) <= 60 else text[:59] + '…'}'"


def listed(notes: Iterable[str]) -> list[str]:
    """The first of these notes, and how many more there are."""
    every = list(notes)
    more = [f"… and {len(every) - MOST_LISTED:,} more."] if len(every) > MOST_LISTED else []
    return every[:MOST_LISTED] + more
