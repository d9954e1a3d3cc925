"""An item sheet → what it changes in the import items and export items of licenses.

All is read and locked first, compared in memory, and written in one statement for each table: only what differs.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from functools import cache, partial

from license import sheet_cells as cells
from license import sql
from license.headings import Heading
from license.sheet_cells import Clear
from license.sheet_report import Change, Problems, Report, quoted, read_rows
from license.sheets import Sheet

_LOAD_THE_LEDGER = "load its ledger first (import_icegate), or correct the number"


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What one row says. None and an empty tuple: nothing. Without a serial number it says only the norm."""

    line: int
    license_number: str
    serial_number: int | None
    description: str | None
    hs_code: str | None
    unit: str | None
    restriction_percentage: Decimal | Clear | None
    item_names: tuple[str, ...]
    norm: str | None


@dataclass(frozen=True, slots=True)
class _Item:
    """An import item as it is."""

    id: int
    description: str
    hs_code: str
    unit: str
    restriction_percentage: Decimal | None


@dataclass(frozen=True, slots=True)
class _ExportItem:
    id: int
    description: str
    norm: str | None


def load_item_sheet(sheet: Sheet, heading: Heading) -> Report:
    """Make the items of the sheet what it says, inside a transaction of the caller's.

    Raises SheetError, with nothing written, if anything in the sheet is wrong. Loaded twice, it writes nothing.
    """
    problems = Problems(sheet, heading)
    report = Report(title="item sheet", rows=len(sheet.rows))
    rows = _read(sheet, heading, problems, report)
    norms = _norms(rows, problems)
    license_ids = _find_licenses(rows, problems)
    export_items = _find_export_items(license_ids[number] for number in norms if number in license_ids)
    items = _find_items(rows, license_ids, problems)
    name_ids = _find_names(rows, problems)
    problems.raise_any()

    changed = _write_items(rows, items, report)
    changed |= _link_names(rows, items, name_ids, report)
    changed |= _set_norms(norms, license_ids, export_items, report, problems)
    report.unchanged = report.rows - len(changed)
    return report


def _read(sheet: Sheet, heading: Heading, problems: Problems, report: Report) -> list[ItemRow]:
    """The sound rows; what is wrong with the others goes to the problems."""
    rows = []
    first_lines: dict[tuple[str, int | None], int] = {}
    for row in read_rows(sheet, heading, problems):
        number = row.get("license_number", cells.license_number)
        if number is None and row.is_sound:
            row.refuse("license_number", "is blank; the license number is needed")
        has_serial_problem = not row.is_sound
        serial_number = row.get("serial_number", cells.serial_number)
        has_serial_problem = has_serial_problem or not row.is_sound
        says = {
            "description": row.get("description", cells.description),
            "hs_code": row.get("hs_code", cells.hs_code),
            "unit": row.get("unit", cells.unit),
            "restriction_percentage": row.get("restriction_percentage", cells.sheet_percentage),
            "item_names": row.get("item_names", cells.item_names),
        }
        norm = row.get("norm", cells.norm)
        if serial_number is None and not has_serial_problem and any(said is not None for said in says.values()):
            row.refuse("serial_number", "is blank; a row without a serial number can say only the norm")
        if number is None:
            continue
        if not has_serial_problem:
            first = first_lines.setdefault((number, serial_number), row.line)
            if first != row.line:
                item = "without a serial number" if serial_number is None else f"item {serial_number}"
                row.refuse(None, f"license {number} {item} stands in {sheet.unit} {first} already; keep one of them")
        percentage = row.get("restriction_percentage", cells.sheet_percentage) if row.is_sound else None
        if isinstance(percentage, Decimal) and 0 < percentage < 1:
            place = problems.place(row.line, "restriction_percentage")
            report.notes.append(f"{place} {percentage:f} is taken as {percentage:f} %, not as a fraction of 1.")
        if row.is_sound:
            rows.append(
                ItemRow(
                    line=row.line,
                    license_number=number,
                    serial_number=serial_number,
                    description=row.get("description", cells.description),
                    hs_code=row.get("hs_code", cells.hs_code),
                    unit=row.get("unit", cells.unit),
                    restriction_percentage=percentage,
                    item_names=row.get("item_names", cells.item_names) or (),
                    norm=norm,
                )
            )
    return rows
