"""What comes out of an item-wise ledger: plain frozen values, the interface to whoever loads them.

Money is in 2 decimals and fits numeric(15,2), quantities are in 3 and fit numeric(15,3). "FC" is the license's own
foreign currency.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Literal

# Text files are counted in lines. A web page whose rows do not stand on lines of their own is counted in table rows.
Unit = Literal["line", "row"]

# Customs prints its balances in whole numbers: in 460 real ledgers they lie within 1 of CIF-FC less the debits.
TOTALS_TOLERANCE = Decimal(1)


@dataclass(frozen=True)
class Problem:
    """One reason why something in a file was not loaded: where, what is wrong, what to do.

    `line` and `cell` count from 1, as spreadsheets and editors do; `line` counts table rows where `unit` is "row".
    `license_number` is empty where it is not known; `license_line` then says where that license begins, and neither is
    set for a line that belongs to no license. Without `line` the problem is that of the whole file, and nothing of the
    file is loaded. `message` is a predicate without a full stop ("'31/02/2025' is not a date; write it as DD/MM/YYYY").
    """

    file: str
    line: int | None
    cell: int | None
    cell_name: str
    license_number: str
    message: str
    license_line: int | None = None
    unit: Unit = "line"

    def __str__(self) -> str:
        return f"{self._place()} {self.sentence}"

    @property
    def sentence(self) -> str:
        """What is wrong, what to do, and what comes of it, without the place."""
        return f"{self._cell()}{self.message}. {self._consequence()}"

    def _place(self) -> str:
        if self.line is None:
            return f"{self.file}:"
        return f"{self.file}:{self.line}:" if self.unit == "line" else f"{self.file}: row {self.line}:"

    def _cell(self) -> str:
        return "" if self.cell is None else f"cell {self.cell} ({self.cell_name}) "

    def _consequence(self) -> str:
        if self.license_number:
            return f"License {self.license_number} is not loaded."
        if self.license_line is not None:
            return f"The license at {self.unit} {self.license_line} is not loaded."
        return "The file is not loaded." if self.line is None else f"This {self.unit} is not loaded."


@dataclass(frozen=True, slots=True)
class Credit:
    """What the license authorises for one import item. Serial numbers are unique within a ledger."""

    line: int
    serial_number: int
    quantity: Decimal
    cif_fc: Decimal
    cif_inr: Decimal


@dataclass(frozen=True, slots=True)
class Debit:
    """What one bill of entry used of one import item: (serial number, number, date) is unique within a ledger.

    `line` is the first of the lines that were added up. `port_code` is empty where no line names the port.
    """

    line: int
    serial_number: int
    number: str
    date: date
    port_code: str
    quantity: Decimal
    cif_fc: Decimal
    cif_inr: Decimal


@dataclass(frozen=True)
class Ledger:
    """One license as customs printed it; every debit's serial number has its credit.

    `cif_fc`, `cif_inr` and `quantity` are those of the Tot.Duty line. `balance_cif_fc` is what customs has left,
    negative when customs itself let the license be overdrawn, None without a Bal.Duty line. `registration_number` and
    `port_code` are empty, and `registration_date` and `printed_on` None, where the file does not say. `iec` has 10
    characters, `scheme_code` 2 digits, `currency` 3 letters; `notification_number` is free text of up to 50
    characters. `notes` are sentences for people on what was decided while reading (lines added up, another print passed
    over …); nothing that is noted stops a license from being loaded.
    """

    file: str
    line: int
    license_number: str
    license_date: date
    registration_number: str
    registration_date: date | None
    iec: str
    scheme_code: str
    notification_number: str
    currency: str
    port_code: str
    cif_fc: Decimal
    cif_inr: Decimal
    quantity: Decimal
    balance_cif_fc: Decimal | None
    printed_on: date | None
    credits: tuple[Credit, ...]
    debits: tuple[Debit, ...]
    notes: tuple[str, ...]

    @cached_property
    def newest_mention(self) -> date:
        """The newest date that the ledger itself mentions: an undated ledger was printed on that day or later."""
        mentioned = [self.license_date, *(debit.date for debit in self.debits)]
        return max(mentioned if self.registration_date is None else [*mentioned, self.registration_date])

    @cached_property
    def debited_cif_fc(self) -> Decimal:
        """What the debits add up to, in foreign currency."""
        return sum((debit.cif_fc for debit in self.debits), Decimal("0.00"))

    @cached_property
    def totals_difference(self) -> Decimal | None:
        """CIF-FC less the debits less Bal.CIF-FC; None without a Bal.Duty line. Positive: debits are missing."""
        if self.balance_cif_fc is None:
            return None
        return self.cif_fc - self.debited_cif_fc - self.balance_cif_fc

    @property
    def totals_fit(self) -> bool:
        """Whether the ledger agrees with customs' own balance, give or take 1; False where that is not known.

        Totals that do not fit mean a missing page: to load such a ledger is for a person to decide.
        """
        return self.totals_difference is not None and abs(self.totals_difference) <= TOTALS_TOLERANCE


@dataclass(frozen=True)
class ParsedFile:
    """All that a file says: a license with any problem is not in `ledgers`, the others are, each license once.

    Ledgers stand in the order of the file, problems too (those of the whole file first).
    """

    file: str
    ledgers: tuple[Ledger, ...]
    problems: tuple[Problem, ...]

    @property
    def unreadable(self) -> int:
        """How many licenses have a problem."""
        # without a number and a line it is one of no license
        return len({(problem.license_number, problem.license_line) for problem in self.problems} - {("", None)})
