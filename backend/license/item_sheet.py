"""An item sheet → what it changes in the import items and export items of licenses.

All is read and locked first, compared in memory, and written in one statement for each table: only what differs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from functools import cache, partial

from license import sheet_cells as cells
from license.headings import Heading
from license.sheet_cells import Clear
from license.sheet_report import Cells, Change, Problems, Report, quoted, read_rows
from license.sheets import Sheet
from license.sql import queries

# the columns of an import item, and what the summary calls them
FIELDS = {
    "description": "descriptions",
    "hs_code": "HS codes",
    "unit": "units",
    "restriction_percentage": "condition sheet percentages",
}
COUNTED = (*FIELDS.values(), "names linked", "norms set")

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

    @property
    def is_about_an_item(self) -> bool:
        """Whether it says anything besides the norm of the license."""
        said = (self.description, self.hs_code, self.unit, self.restriction_percentage, self.item_names or None)
        return any(part is not None for part in said)


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
    report = Report(title="item sheet", rows=len(sheet.rows), counts=Counter(dict.fromkeys(COUNTED, 0)))
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
    """The rows that name a license and perhaps an item. What is wrong goes to the problems."""
    rows = []
    first_lines: dict[tuple[str, int | None], int] = {}
    for row in read_rows(sheet, heading, problems):
        said = _read_row(row)
        if row.wrong & {"license_number", "serial_number"}:
            continue
        first = first_lines.setdefault((said.license_number, said.serial_number), row.line)
        if first != row.line:
            item = "without a serial number" if said.serial_number is None else f"item {said.serial_number}"
            row.refuse(
                None, f"license {said.license_number} {item} stands in {sheet.unit} {first} already; keep one of them"
            )
            continue
        rows.append(said)
        percentage = said.restriction_percentage
        if isinstance(percentage, Decimal) and 0 < percentage < 1:
            place = problems.place(row.line, "restriction_percentage")
            report.notes.append(f"{place} is taken as {percentage} %, not as a fraction of 1.")
    return rows


def _read_row(row: Cells) -> ItemRow:
    said = ItemRow(
        line=row.line,
        license_number=row.get("license_number", cells.license_number) or "",
        serial_number=row.get("serial_number", cells.serial_number),
        description=row.get("description", cells.description),
        hs_code=row.get("hs_code", cells.hs_code),
        unit=row.get("unit", cells.unit),
        restriction_percentage=row.get("restriction_percentage", cells.sheet_percentage),
        item_names=row.get("item_names", cells.item_names) or (),
        norm=row.get("norm", cells.norm),
    )
    if not said.license_number and "license_number" not in row.wrong:
        row.refuse("license_number", "is blank; the license number is needed")
    if said.serial_number is None and "serial_number" not in row.wrong and said.is_about_an_item:
        row.refuse("serial_number", "is blank; a row without a serial number can say only the norm")
    return said


def _norms(rows: Iterable[ItemRow], problems: Problems) -> dict[str, ItemRow]:
    """By license number, the first row that says the norm of its exports. Another norm in another row is a problem."""
    norms: dict[str, ItemRow] = {}
    for row in rows:
        if row.norm:
            first = norms.setdefault(row.license_number, row)
            if first.norm != row.norm:
                problems.add(
                    row.line,
                    "norm",
                    f"{quoted(row.norm)} is not {quoted(first.norm or '')} of {problems.unit} {first.line}; "
                    "a license gets one",
                )
    return norms


def _find_licenses(rows: Iterable[ItemRow], problems: Problems) -> dict[str, int]:
    """The ids of the licenses by their numbers, locked."""
    numbers = sorted({row.license_number for row in rows})
    ids = {number: license_id for license_id, number in queries.rows("lock_licenses", license_numbers=numbers)}
    for row in rows:
        if row.license_number not in ids:
            problems.add(row.line, "license_number", f"license {row.license_number} is not known; {_LOAD_THE_LEDGER}")
    return ids


def _find_export_items(license_ids: Iterable[int]) -> dict[int, list[_ExportItem]]:
    """The export items of the licenses by the licenses' ids, locked."""
    found = defaultdict(list)
    for license_id, *export_item in queries.rows("lock_export_items", license_ids=sorted(license_ids)):
        found[license_id].append(_ExportItem(*export_item))
    return found


def _find_items(rows: Iterable[ItemRow], license_ids: dict[str, int], problems: Problems) -> dict[int, _Item]:
    """The import items that the rows are about by the rows' lines, locked."""
    wanted = {
        (license_ids[row.license_number], row.serial_number): row
        for row in rows
        if row.serial_number is not None and row.license_number in license_ids
    }
    locked = queries.rows(
        "lock_import_items",
        license_ids=[license_id for license_id, _ in wanted],
        serial_numbers=[serial_number for _, serial_number in wanted],
    )
    found = {(license_id, serial_number): _Item(*item) for license_id, serial_number, *item in locked}
    for key, row in wanted.items():
        if key not in found:
            problems.add(
                row.line,
                "serial_number",
                f"license {row.license_number} has no import item {row.serial_number}; {_LOAD_THE_LEDGER}",
            )
    return {row.line: found[key] for key, row in wanted.items() if key in found}


def _find_names(rows: Iterable[ItemRow], problems: Problems) -> dict[str, int]:
    """The ids of all item names. A name in the sheet that is not among them is a problem."""
    ids = {name: name_id for name_id, name in queries.rows("known_names")}

    @cache
    def what_is_wrong(name: str) -> str:
        by_folded = {known.casefold(): known for known in ids}
        nearest = get_close_matches(name.casefold(), by_folded, n=1)
        hint = f"did you mean {quoted(by_folded[nearest[0]])}? If not, " if nearest else ""
        return f"{quoted(name)} is not a known item name; {hint}load a name sheet that defines it first"

    for row in rows:
        for name in row.item_names:
            if name not in ids:
                problems.add(row.line, "item_names", partial(what_is_wrong, name))
    return ids


def _write_items(rows: Iterable[ItemRow], items: dict[int, _Item], report: Report) -> set[int]:
    """Write what differs. Returns the lines of the rows that changed something."""
    changed: dict[int, _Item] = {}
    for row in rows:
        if row.line not in items:
            continue
        old = items[row.line]
        new = _updated(old, row)
        if new != old:
            changed[row.line] = new
            for field, label in FIELDS.items():
                before, after = getattr(old, field), getattr(new, field)
                if before != after:
                    report.counts[label] += 1
                    report.changes.append(Change(_item_of(row), field, _shown(before), _shown(after)))
    if changed:
        queries.execute("create_hs_codes", codes=sorted({item.hs_code for item in changed.values()} - {""}))
        new_items = list(changed.values())
        queries.execute(
            "write_import_items",
            import_item_ids=[item.id for item in new_items],
            descriptions=[item.description for item in new_items],
            hs_codes=[item.hs_code for item in new_items],
            units=[item.unit for item in new_items],
            restriction_percentages=[item.restriction_percentage for item in new_items],
        )
    return set(changed)


def _updated(item: _Item, row: ItemRow) -> _Item:
    """The item with what the row says of it."""
    percentage = row.restriction_percentage
    return _Item(
        id=item.id,
        description=row.description or item.description,
        hs_code=row.hs_code or item.hs_code,
        unit=row.unit or item.unit,
        restriction_percentage=None
        if percentage is Clear.CLEAR
        else item.restriction_percentage
        if percentage is None
        else percentage,
    )


def _link_names(rows: Iterable[ItemRow], items: dict[int, _Item], name_ids: dict[str, int], report: Report) -> set[int]:
    """Add the links that are missing; none is ever removed. Returns the lines of the rows that added one."""
    naming = [row for row in rows if row.item_names]
    linked: dict[int, list[str]] = defaultdict(list)
    for item_id, _, name in queries.rows("linked_names", import_item_ids=[items[row.line].id for row in naming]):
        linked[item_id].append(name)
    missing: list[tuple[int, int]] = []
    changed: set[int] = set()
    for row in naming:
        item_id = items[row.line].id
        known = linked[item_id]
        added = [name for name in row.item_names if name not in known]
        if added:
            changed.add(row.line)
            missing += ((item_id, name_ids[name]) for name in added)
            report.counts["names linked"] += len(added)
            report.changes.append(Change(_item_of(row), "item_names", "; ".join(known), "; ".join([*known, *added])))
    if missing:
        queries.execute(
            "link_names",
            import_item_ids=[item_id for item_id, _ in missing],
            item_name_ids=[name_id for _, name_id in missing],
        )
    return changed


def _set_norms(
    norms: dict[str, ItemRow],
    license_ids: dict[str, int],
    export_items: dict[int, list[_ExportItem]],
    report: Report,
    problems: Problems,
) -> set[int]:
    """Give the exports of each license its norm. Returns the lines of the rows that changed one.

    Where an export item has another norm already, somebody meant that: it gives way only where it is the license's
    only one, and people are told either way.
    """
    written: list[tuple[int, str]] = []
    changed: set[int] = set()
    for number, row in norms.items():
        exports = export_items.get(license_ids[number], [])
        place = problems.place(row.line, "norm")
        if not exports:
            report.notes.append(f"{place} license {number} has no export item that could have a norm.")
        for item in exports:
            norm = row.norm or ""
            if item.norm == norm:
                continue
            if item.norm is not None and len(exports) > 1:
                report.notes.append(
                    f"{place} license {number}: an export item ({_export_item(item)}) has the norm {item.norm}, which "
                    f"stays; the license has {len(exports)} of them, so which are of {norm} is for a person to say."
                )
                continue
            if item.norm is not None:
                report.notes.append(f"{place} license {number}: the norm {item.norm} gives way to {norm}.")
            changed.add(row.line)
            written.append((item.id, norm))
            report.counts["norms set"] += 1
            report.changes.append(Change(f"{number} export item {_export_item(item)}", "norm", item.norm or "", norm))
    if written:
        queries.execute("create_norms", codes=sorted({norm for _, norm in written}))
        queries.execute(
            "write_norms", export_item_ids=[item_id for item_id, _ in written], codes=[norm for _, norm in written]
        )
    return changed


def _item_of(row: ItemRow) -> str:
    return f"{row.license_number} item {row.serial_number}"


def _export_item(item: _ExportItem) -> str:
    return quoted(item.description) if item.description else f"number {item.id}"


def _shown(value: str | Decimal | None) -> str:
    if isinstance(value, Decimal):
        return f"{value} %"
    return quoted(value) if value else ""
