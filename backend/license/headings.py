"""Which kind of sheet it is, and which column means what: told by the names in its heading.

docs/import-items.md shows this table to users.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from license.sheets import Sheet, UnreadableFileError


class SheetKind(Enum):
    """What a sheet is about."""

    ITEMS = "item sheet"
    NAMES = "name sheet"


_NORM = "norm sion sionnorm sionno normclass exportnorm"
_PERCENTAGE = (
    "restrictionpercentage restriction% restriction percentage % "
    "conditionsheetpercentage conditionsheet% conditionsheet"
)
# field: the names under which it is known, the first of them in plain. A name is compared as `normal` makes it.
ITEM_COLUMNS = {
    "license_number": "licensenumber licenseno license licencenumber licenceno licence licno dfiano authorisationno",
    "serial_number": "serialnumber serialno serial srno slno sno itemserialnumber itemsrno itemno",
    "description": "description itemdescription descriptionofgoods productdescription",
    "hs_code": "hscode hs hsn hsncode itchs itchscode",
    "unit": "unit uom",
    "item_names": "itemnames itemname names",
    "restriction_percentage": _PERCENTAGE,
    "norm": _NORM,
}
NAME_COLUMNS = {
    "item_name": "itemname itemnames name",
    "norm": _NORM,
    "restriction_percentage": _PERCENTAGE,
    "words": "words keywords",
    "hs_prefix": "hsprefix hsnprefix hscodeprefix hs hscode hsn",
}
REQUIRED = {SheetKind.ITEMS: ("license_number", "serial_number"), SheetKind.NAMES: ("item_name",)}
_COLUMNS = {SheetKind.ITEMS: ITEM_COLUMNS, SheetKind.NAMES: NAME_COLUMNS}


@dataclass(frozen=True, slots=True)
class Heading:
    """The kind of a sheet, the place of each field in its rows, and the columns that mean nothing to us."""

    kind: SheetKind
    places: Mapping[str, int]
    unknown: tuple[str, ...]


def normal(name: str) -> str:
    """A column's name in the form in which names are compared: `Lic. No.` gives `licno`."""
    return "".join(name.split()).casefold().replace("_", "").replace(".", "")


def read_heading(sheet: Sheet) -> Heading:
    """What the heading says. Raises UnreadableFileError where it does not name the columns that are needed."""
    names = [normal(cell) for cell in sheet.heading.cells]
    items = _fields_of(ITEM_COLUMNS)
    kind = SheetKind.ITEMS if any(items.get(name) in REQUIRED[SheetKind.ITEMS] for name in names) else SheetKind.NAMES
    fields = _fields_of(_COLUMNS[kind])
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        field = fields.get(name)
        if field in places:
            first, second = (sheet.heading.cells[n] for n in (places[field], place))
            raise UnreadableFileError(f"has two columns for {field}, {first!r} and {second!r}; keep one of them")
        if field:
            places[field] = place
    _refuse_too_little(kind, places)
    unknown = tuple(cell for cell, name in zip(sheet.heading.cells, names, strict=True) if cell and name not in fields)
    return Heading(kind, places, unknown)


def _refuse_too_little(kind: SheetKind, places: Mapping[str, int]) -> None:
    missing = [field for field in REQUIRED[kind] if field not in places]
    if missing and kind is SheetKind.NAMES:
        raise UnreadableFileError(
            "has a heading that is neither that of an item sheet (license_number, serial_number, …) nor that of a name "
            "sheet (item_name, …); its first row must name the columns"
        )
    if missing:
        raise UnreadableFileError(f"has no column {' and no column '.join(missing)}; an item sheet needs both")
    if kind is SheetKind.ITEMS and len(places) == len(REQUIRED[kind]):
        others = ", ".join(field for field in ITEM_COLUMNS if field not in REQUIRED[kind])
        raise UnreadableFileError(f"says nothing of its items; it needs one or more of the columns {others}")


def _fields_of(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: field for field, names in columns.items() for name in names.split()}
