"""What one record line says: a row of cells in, a typed record out, and a fault for each cell that means nothing.

The places of the cells are those of the ledgers that ICEGATE prints. A record with faults is still returned, with
neutral values in the place of what could not be read, so that all faults of a license are found at once; such a license
is never loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, TypeVar

from ledger.icegate import cells as meaning
from ledger.icegate.cells import CellError, Kind
from ledger.icegate.rows import Row

MAX_CELL_CHARACTERS = 1_000
# A license that is wrong throughout would bury the problems of all others.
MAX_FAULTS = 20
_MOST_SHOWN = 60  # characters of a value in a message
SCRIP_SCHEME = "28"

# The cells that a line of each kind may fill.
_CELL_COUNT = {
    Kind.REGISTRATION: 8,
    Kind.RELEASE_ADVICE: 8,
    Kind.IMPORTER: 8,
    Kind.TOTALS: 8,
    Kind.BALANCES: 8,
    Kind.CREDIT: 7,
    Kind.DEBIT: 10,
}
_IMPORTS = frozenset({"E", "M", "D"})  # EDI, manual, debit
_NOT_IMPORTS = {
    "P": "EPCG",
    "R": "release advice out",
    "S": "spares",
    "U": "unutilised release advice",
}
_NO_DATE = date.min
_ZERO = Decimal(0)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at a line and, where known, a cell, both counted from 1. Becomes a `Problem`."""

    line: int
    cell: int | None
    cell_name: str
    message: str


class Faults:
    """The faults of one license, or of the lines that belong to none: the first ones, and how many more there were."""

    def __init__(self) -> None:
        self.first: list[Fault] = []
        self.more_count = 0

    def __bool__(self) -> bool:
        return bool(self.first)

    def add(self, line: int, message: str, *, cell: int | None = None, cell_name: str = "") -> None:
        if len(self.first) < MAX_FAULTS:
            self.first.append(Fault(line, cell, cell_name, message))
        else:
            self.more_count += 1

    def extend(self, others: "Faults") -> None:
        for fault in others.first:
            self.add(fault.line, fault.message, cell=fault.cell, cell_name=fault.cell_name)
        self.more_count += others.more_count

    def listed(self, line: int) -> tuple[Fault, ...]:
        """The first ones in the order of their lines; then, at `line`, how many more there were."""
        listed = sorted(self.first, key=lambda fault: (fault.line, fault.cell or 0))
        if self.more_count:
            listed.append(Fault(line, None, "", f"and {self.more_count} more problems, not listed"))
        return tuple(listed)


@dataclass(frozen=True, slots=True)
class Header:
    """`values` are the cells that are no labels, as written, to compare a line with its repetition on a later page."""

    line: int
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registration(Header):
    registration_number: str
    registration_date: date | None
    license_number: str  # empty: could not be read
    license_date: date


@dataclass(frozen=True, slots=True)
class ReleaseAdvice(Header):
    port_code: str


@dataclass(frozen=True, slots=True)
class Importer(Header):
    iec: str
    scheme_code: str
    notification_number: str
    currency: str  # empty only where the cell is blank

    @property
    def is_of_scrip(self) -> bool:
        """Scrips are another kind of document: their ledgers know no foreign currency."""
        return self.scheme_code == SCRIP_SCHEME or not self.currency


@dataclass(frozen=True, slots=True)
class Totals(Header):
    cif_inr: Decimal
    quantity: Decimal
    cif_fc: Decimal


@dataclass(frozen=True, slots=True)
class Balances(Header):
    cif_fc: Decimal


@dataclass(frozen=True, slots=True)
class CreditLine:
    """As printed: amounts are not rounded. `serial_number` is 0 where it could not be read."""

    line: int
    serial_number: int
    cif_inr: Decimal
    cif_fc: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class DebitLine:
    """As printed: amounts are not rounded. `serial_number` is 0 where it could not be read."""

    line: int
    serial_number: int
    cif_inr: Decimal
    cif_fc: Decimal
    quantity: Decimal
    number: str
    date: date
    port_code: str


Record = ReleaseAdvice | Importer | Totals | Balances | CreditLine | DebitLine
# What a Regn.No. line is not: a line inside a license.
InnerKind = Literal[Kind.RELEASE_ADVICE, Kind.IMPORTER, Kind.TOTALS, Kind.BALANCES, Kind.CREDIT, Kind.DEBIT]


def shown(value: str) -> str:
    """A value in a message: in quotes, on one line, not too long."""
    return repr(value if len(value) <= _MOST_SHOWN else value[:_MOST_SHOWN] + "…")


def read_registration(row: Row, faults: Faults) -> Registration:
    """The record of a Regn.No. line, which begins a license. What is wrong with it is added to `faults`."""
    reading = _Reading(row, faults if _is_whole(row, Kind.REGISTRATION, faults) else Faults())
    return Registration(
        line=reading.line,
        values=reading.header_values(),
        registration_number=reading.read(1, "registration number", meaning.registration_number, ""),
        registration_date=reading.read(3, "registration date", meaning.day_or_none, None),
        license_number=reading.read(5, "license number", meaning.license_number, ""),
        license_date=reading.read(7, "license date", meaning.day, _NO_DATE),
    )


def read_record(row: Row, kind: InnerKind, faults: Faults) -> Record:
    """The record of a row of this kind. What is wrong with it is added to `faults`."""
    reading = _Reading(row, faults if _is_whole(row, kind, faults) else Faults())
    match kind:
        case Kind.RELEASE_ADVICE:
            return _release_advice(reading)
        case Kind.IMPORTER:
            return _importer(reading)
        case Kind.TOTALS:
            return _totals(reading)
        case Kind.BALANCES:
            return _balances(reading)
        case Kind.CREDIT:
            return _credit(reading)
        case Kind.DEBIT:
            return _debit(reading)


def _is_whole(row: Row, kind: Kind, faults: Faults) -> bool:
    """Whether the cells stand where they should. If not, that is the one fault of the row: others would follow."""
    if row.is_unclosed:
        message = "has a quotation mark that is opened and not closed; close or remove it"
        faults.add(row.line, message, cell=len(row.cells), cell_name="cut off")
        return False
    if not has_possible_cells(row, faults):
        return False
    for index in range(_CELL_COUNT[kind], len(row.cells)):
        if row.cells[index]:
            faults.add(
                row.line,
                f"{shown(row.cells[index])} stands behind the last cell of a {kind.value} line; put an amount with "
                "thousands separators in quotation marks",
                cell=index + 1,
                cell_name="one too many",
            )
            return False
    return True


def has_possible_cells(row: Row, faults: Faults) -> bool:
    """Whether no cell is longer than any cell of a ledger could be; the first one that is becomes a fault."""
    for index, cell in enumerate(row.cells):
        if len(cell) > MAX_CELL_CHARACTERS:
            faults.add(
                row.line,
                f"{shown(cell)} has {len(cell):,} characters, at most {MAX_CELL_CHARACTERS:,} are possible; "
                "download the file again",
                cell=index + 1,
                cell_name="too long",
            )
            return False
    return True


class _Reading:
    """Reads the cells of one row and notes what is wrong with them."""

    def __init__(self, row: Row, faults: Faults) -> None:
        self.line = row.line
        self._cells = row.cells
        self._faults = faults

    def cell(self, index: int) -> str:
        """The cell as written; a line that ends early has blank cells."""
        return self._cells[index][:MAX_CELL_CHARACTERS] if index < len(self._cells) else ""

    def header_values(self) -> tuple[str, ...]:
        return tuple(self.cell(index) for index in (1, 3, 5, 7))

    def fault(self, index: int, name: str, message: str) -> None:
        value = self.cell(index)
        self._faults.add(self.line, f"{shown(value)} {message}" if value else message, cell=index + 1, cell_name=name)

    def read(self, index: int, name: str, means: Callable[[str], Value], neutral: Value) -> Value:
        """What the cell means; the neutral value, and a fault, where it means nothing."""
        try:
            return means(self.cell(index))
        except CellError as error:
            self.fault(index, name, str(error))
            return neutral

    def amount(self, index: int, name: str) -> Decimal:
        return self.read(index, name, meaning.amount, _ZERO)

    def signed_amount(self, index: int, name: str) -> Decimal:
        return self.read(index, name, meaning.signed_amount, _ZERO)

    def quantity(self, index: int) -> Decimal:
        return self.read(index, "quantity", meaning.quantity, _ZERO)


def _release_advice(reading: _Reading) -> ReleaseAdvice:
    reading.read(3, "RA date", meaning.day_or_none, None)
    return ReleaseAdvice(
        line=reading.line,
        values=reading.header_values(),
        port_code=reading.read(5, "issuing custom house", meaning.port_code, ""),
    )


def _importer(reading: _Reading) -> Importer:
    return Importer(
        line=reading.line,
        values=reading.header_values(),
        iec=reading.read(1, "IEC", meaning.iec, ""),
        scheme_code=reading.read(3, "scheme code", meaning.scheme_code, ""),
        notification_number=reading.read(5, "notification", meaning.notification_number, ""),
        currency=reading.read(7, "currency", meaning.currency, "?"),
    )


def _totals(reading: _Reading) -> Totals:
    reading.amount(1, "total duty")
    return Totals(
        line=reading.line,
        values=reading.header_values(),
        cif_inr=reading.amount(3, "CIF INR"),
        quantity=reading.quantity(5),
        cif_fc=reading.amount(7, "CIF FC"),
    )


def _balances(reading: _Reading) -> Balances:
    reading.signed_amount(1, "balance of duty")
    reading.signed_amount(3, "balance of CIF INR")
    reading.signed_amount(5, "balance of quantity")
    return Balances(
        line=reading.line,
        values=reading.header_values(),
        cif_fc=reading.signed_amount(7, "balance of CIF FC"),
    )


def _credit(reading: _Reading) -> CreditLine:
    serial_number = reading.read(1, "serial number", meaning.serial_number, 0)
    _check_type(reading, is_blank_allowed=True)
    line = CreditLine(
        line=reading.line,
        serial_number=serial_number,
        cif_inr=reading.amount(3, "CIF INR"),
        cif_fc=reading.amount(4, "CIF FC"),
        quantity=reading.quantity(5),
    )
    reading.amount(6, "duty")
    return line


def _debit(reading: _Reading) -> DebitLine:
    serial_number = reading.read(1, "serial number", meaning.serial_number, 0)
    _check_type(reading, is_blank_allowed=False)
    cif_inr, cif_fc, quantity = reading.amount(3, "CIF INR"), reading.amount(4, "CIF FC"), reading.quantity(5)
    reading.amount(6, "duty")
    return DebitLine(
        line=reading.line,
        serial_number=serial_number,
        cif_inr=cif_inr,
        cif_fc=cif_fc,
        quantity=quantity,
        number=reading.read(7, "BE number", meaning.bill_number, ""),
        date=reading.read(8, "BE date", meaning.day, _NO_DATE),
        port_code=reading.read(9, "port code", meaning.port_code, ""),
    )


def _check_type(reading: _Reading, *, is_blank_allowed: bool) -> None:
    letter = meaning.text(reading.cell(2)).upper()
    if letter in _IMPORTS or (not letter and is_blank_allowed):
        return
    if letter in _NOT_IMPORTS:
        message = f"means {_NOT_IMPORTS[letter]}, which is no import on the item; enter this license by hand"
        reading.fault(2, "type", message)
    elif letter:
        reading.fault(2, "type", "is not a type of a line; it is E, M or D")
    else:
        reading.fault(2, "type", "is blank; the type of the line is needed: E, M or D")
