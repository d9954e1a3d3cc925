"""Rows → sections: all that stands from one Regn.No. line to the next, however many printed pages that is."""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from ledger.icegate.cells import CellError, Kind, day, label, text
from ledger.icegate.ledger import Unit
from ledger.icegate.records import (
    Balances,
    CreditLine,
    DebitLine,
    Faults,
    Header,
    Importer,
    InnerKind,
    Registration,
    ReleaseAdvice,
    Totals,
    has_possible_cells,
    read_record,
    read_registration,
    shown,
)
from ledger.icegate.rows import FEWEST_CELLS_OF_A_RECORD, Row, Sheet

_PRINT_DATE = re.compile(
    r"\bdated\b[\s:.-]*([0-9]{1,2}[/.-][0-9]{1,2}[/.-](?:[0-9]{4}|[0-9]{2}))(?![0-9])", re.IGNORECASE
)
# `Debit-;1;E;…` in one cell: a label that ran into what follows it.
_RUN_INTO = re.compile(r"(?:regn\.no|credit|debit)[.:-]*[,;|\"]*[0-9]")
_SERIAL_NUMBER = re.compile(r"[0-9]{1,5}(?:\.0+)?")
_TYPE = re.compile(r"[EMDPRSU]", re.IGNORECASE)

AnyHeader = TypeVar("AnyHeader", bound=Header)


@dataclass(slots=True)
class Pages:
    """What any stretch of a file may have. `faults` and `notes` name lines in `unit`.

    `printed_on` is the newest date on which the page furniture of the stretch says that it was printed.
    """

    unit: Unit
    printed_on: date | None = None
    notes: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)


@dataclass(slots=True, kw_only=True)
class Section(Pages):
    """What stands from one Regn.No. line to the next."""

    registration: Registration
    release_advice: ReleaseAdvice | None = None
    importer: Importer | None = None
    totals: Totals | None = None
    balances: Balances | None = None
    credits: list[CreditLine] = field(default_factory=list)
    debits: list[DebitLine] = field(default_factory=list)


def read_sections(sheet: Sheet) -> tuple[Pages, list[Section]]:
    """What stands before the first Regn.No. line, and the sections of the file in its order."""
    before = pages = Pages(sheet.unit)
    sections: list[Section] = []
    for row in sheet.rows:
        if row.kind is None:
            _read_furniture(row, pages)
        elif row.kind is Kind.REGISTRATION:
            faults = Faults()
            pages = Section(sheet.unit, faults=faults, registration=read_registration(row, faults))
            sections.append(pages)
        elif isinstance(pages, Section):
            _add_record(row, row.kind, pages)
        else:
            before.faults.add(
                row.line,
                f"a {row.kind.value} line stands before any Regn.No. line: the page on which its license begins is "
                "missing; download the file again",
            )
    return before, sections


def _add_record(row: Row, kind: InnerKind, section: Section) -> None:
    match record := read_record(row, kind, section.faults):
        case CreditLine():
            section.credits.append(record)
        case DebitLine():
            section.debits.append(record)
        case ReleaseAdvice():
            section.release_advice = same_header(section.release_advice, record, kind, section)
        case Importer():
            section.importer = same_header(section.importer, record, kind, section)
        case Totals():
            section.totals = same_header(section.totals, record, kind, section)
        case Balances():
            section.balances = same_header(section.balances, record, kind, section)


def same_header(before: AnyHeader | None, again: AnyHeader, kind: Kind, section: Section) -> AnyHeader:
    """The header line that counts where later pages repeat it: the first. A fault of the section where they differ."""
    if before is None:
        return again
    if before.values != again.values:
        section.faults.add(
            again.line,
            f"this {kind.value} line says something else than that of {section.unit} {before.line}: pages of two "
            "ledgers are mixed; download the file again",
        )
    return before


def _read_furniture(row: Row, pages: Pages) -> None:
    # Text in one piece is prose, of any length.
    if len(row.cells) > 1 and not has_possible_cells(row, pages.faults):
        return
    if _looks_like_record(row.cells):
        pages.faults.add(
            row.line,
            "looks like a record, but does not begin with a cell that says Regn.No., Credit- or Debit-; correct the "
            "first cell, and separate cells by commas or tabs",
        )
    for written in _PRINT_DATE.findall(" ".join(row.cells)):
        try:
            printed_on = day(written)
        except CellError as error:
            where = f"{pages.unit} {row.line}"
            pages.notes.append(f"The print date {shown(written)} at {where} was passed over: it {error}.")
        else:
            pages.printed_on = printed_on if pages.printed_on is None else max(pages.printed_on, printed_on)


def _looks_like_record(cells: tuple[str, ...]) -> bool:
    """Whether a credit or debit would get lost if this line were skipped as page furniture."""
    if not cells:
        return False
    if _RUN_INTO.match(label(cells[0])):
        return True
    return (
        len(cells) >= FEWEST_CELLS_OF_A_RECORD
        and _SERIAL_NUMBER.fullmatch(text(cells[1])) is not None
        and _TYPE.fullmatch(text(cells[2])) is not None
        and any(cells[3:6])
    )
