"""Sections → prints of a license's ledger, the print that counts, and what it comes to.

A file may hold a license several times: as pages that repeat its header lines, which belong together, or as several
prints, of which one counts. A print is a section, or several joined into the first of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

from ledger.icegate.cells import MONEY_DECIMALS, QUANTITY_DECIMALS, CellError, Kind, fitted, total
from ledger.icegate.ledger import Credit, Debit, Ledger
from ledger.icegate.records import SCRIP_SCHEME, CreditLine, DebitLine, Fault, Faults, Importer
from ledger.icegate.sections import Pages, Section, same_header

# Quantities of all items, whatever their units, added up by customs in one number.
_QUANTITY_TOLERANCE = Decimal(1)
_PAGE_IS_MISSING = "a page is missing, or the file was cut; download it again"

AnyLine = TypeVar("AnyLine", CreditLine, DebitLine)


@dataclass(frozen=True)
class Outcome:
    """What became of one license: a ledger, or faults (in the order of their lines) that say why there is none."""

    license_line: int
    license_number: str  # empty: could not be read
    ledger: Ledger | None
    faults: tuple[Fault, ...]


def read_licenses(file: str, sections: Iterable[Section], before: Pages) -> list[Outcome]:
    """One outcome for each license of the sections, in the order in which the prints that count begin.

    A print date `before` the first license heads the whole file: it is that of every print that names none itself.
    A license whose number could not be read is one of its own: nobody knows whether another print of it stands in the
    file.
    """
    by_license: defaultdict[str, list[Section]] = defaultdict(list)
    for section in sections:
        registration = section.registration
        by_license[registration.license_number or f"at {registration.line}"].append(section)
    outcomes = [_outcome(file, _prints(of_one), before) for of_one in by_license.values()]
    return sorted(outcomes, key=lambda outcome: outcome.license_line)


def _prints(sections: list[Section]) -> list[Section]:
    """The prints of one license, later pages with repeated header lines joined to the first of their print.

    A page of another day belongs to another print, and a print begins anew with credits that stood already.
    """
    prints: list[Section] = []
    credited: set[int] = set()  # serial numbers of the last print
    for section in sections:
        serial_numbers = {line.serial_number for line in section.credits}
        days = {each.printed_on for each in (*prints[-1:], section)} - {None}
        if prints and len(days) <= 1 and credited.isdisjoint(serial_numbers):
            _join(prints[-1], section)
            credited |= serial_numbers
        else:
            prints.append(section)
            credited = serial_numbers
    return prints


def _join(printed: Section, page: Section) -> None:
    """Adds a later page to its print. Header lines that say something else become a fault of the print."""
    printed.faults.extend(page.faults)
    for kind, before, again in (
        (Kind.REGISTRATION, printed.registration, page.registration),
        (Kind.RELEASE_ADVICE, printed.release_advice, page.release_advice),
        (Kind.IMPORTER, printed.importer, page.importer),
        (Kind.TOTALS, printed.totals, page.totals),
        (Kind.BALANCES, printed.balances, page.balances),
    ):
        if again is not None:
            same_header(before, again, kind, printed)
    printed.release_advice = printed.release_advice or page.release_advice
    printed.importer = printed.importer or page.importer
    printed.totals = printed.totals or page.totals
    printed.balances = printed.balances or page.balances
    printed.credits += page.credits
    printed.debits += page.debits
    printed.printed_on = printed.printed_on or page.printed_on
    printed.notes += page.notes


def _outcome(file: str, prints: list[Section], before: Pages) -> Outcome:
    counting = _counting(prints)
    others = [other for other in prints if other is not counting]
    counting.notes += [_passed_over(other, counting) for other in others]
    registration = counting.registration
    ledger = _ledger(file, counting, before)
    faults = counting.faults.listed(registration.line)
    if ledger is None and others:
        lines = ", ".join(str(other.registration.line) for other in others)
        # Loading what is older in place of what is newer would bring back a past state without a word.
        message = f"the print at {counting.unit} {lines} is not taken in its place; correct the one that begins here"
        faults += (Fault(registration.line, None, "", message),)
    return Outcome(registration.line, registration.license_number, ledger, faults)


def _counting(prints: list[Section]) -> Section:
    """The newest print; where dates are equal or unknown, the later one in the file."""
    last_undated = max((place for place, each in enumerate(prints) if each.printed_on is None), default=-1)
    dated = [(each.printed_on, place) for place, each in enumerate(prints) if each.printed_on is not None]
    newest_dated = max(dated)[1] if dated else -1
    return prints[max(last_undated, newest_dated)]


def _passed_over(other: Section, counting: Section) -> str:
    is_older = other.printed_on and counting.printed_on and other.printed_on < counting.printed_on
    reason = "this one is newer" if is_older else "this one stands later in the file"
    faulty = " It has problems of its own." if other.faults else ""
    line = other.registration.line
    return f"Another print of this license, at {other.unit} {line}, was passed over: {reason}.{faulty}"


def _ledger(file: str, printed: Section, before: Pages) -> Ledger | None:
    """What the print comes to; None where it has faults. Faults that only show in the whole are added to it here."""
    registration, faults = printed.registration, printed.faults
    importer, totals, balances = printed.importer, printed.totals, printed.balances
    if importer is not None and importer.is_of_scrip:
        # Another kind of document: what else is wrong with it by the rules of this one says nothing.
        printed.faults = Faults()
        _refuse_scrip(importer, printed.faults)
        return None
    if importer is None:
        faults.add(registration.line, f"the license has no IEC line: {_PAGE_IS_MISSING}")
    if totals is None:
        faults.add(registration.line, f"the license has no Tot.Duty line: {_PAGE_IS_MISSING}")
    credited = _credits(printed)
    debited = _debits(printed)
    if faults or importer is None or totals is None:
        return None
    return Ledger(
        file=file,
        line=registration.line,
        license_number=registration.license_number,
        license_date=registration.license_date,
        registration_number=registration.registration_number,
        registration_date=registration.registration_date,
        iec=importer.iec,
        scheme_code=importer.scheme_code,
        notification_number=importer.notification_number,
        currency=importer.currency,
        port_code=printed.release_advice.port_code if printed.release_advice else "",
        cif_fc=fitted(totals.cif_fc, MONEY_DECIMALS),
        cif_inr=fitted(totals.cif_inr, MONEY_DECIMALS),
        quantity=fitted(totals.quantity, QUANTITY_DECIMALS),
        balance_cif_fc=None if balances is None else fitted(balances.cif_fc, MONEY_DECIMALS),
        printed_on=printed.printed_on or before.printed_on,
        credits=credited,
        debits=debited,
        notes=tuple(printed.notes if printed.printed_on else [*printed.notes, *before.notes]),
    )


def _refuse_scrip(importer: Importer, faults: Faults) -> None:
    if importer.scheme_code == SCRIP_SCHEME:
        message = f"'{SCRIP_SCHEME}' is the scheme of scrips, another kind of document; leave this one out"
        faults.add(importer.line, message, cell=4, cell_name="scheme code")
    else:
        message = "is blank, as it is for scrips: they are another kind of document; leave this one out"
        faults.add(importer.line, message, cell=8, cell_name="currency")


def _credits(printed: Section) -> tuple[Credit, ...]:
    """The credits, several lines of one serial number added up where Tot.Qty. says that both are meant."""
    by_serial_number: defaultdict[int, list[CreditLine]] = defaultdict(list)
    for line in printed.credits:
        by_serial_number[line.serial_number].append(line)
    if printed.faults or printed.totals is None:
        return ()  # what could not be read cannot be added up
    all_quantities = total(line.quantity for line in printed.credits)
    excess = abs(all_quantities - printed.totals.quantity)
    is_total = excess <= _QUANTITY_TOLERANCE
    # A second line of next to nothing is within the tolerance, whether meant or not.
    without_seconds = total(lines[0].quantity for lines in by_serial_number.values())
    are_seconds_meant = is_total and excess <= abs(without_seconds - printed.totals.quantity)
    for serial_number, lines in by_serial_number.items():
        if len(lines) == 1:
            continue
        numbers = " and ".join(str(line.line) for line in lines)
        if are_seconds_meant:
            printed.notes.append(
                f"Serial number {serial_number} has {len(lines)} Credit- lines, {printed.unit} {numbers}, which were "
                "added up: with all of them the quantities come to Tot.Qty."
            )
        else:
            printed.faults.add(
                lines[1].line,
                f"'{serial_number}' has {len(lines)} Credit- lines, {printed.unit} {numbers}, and with all of them the "
                f"quantities come to {all_quantities}, not to Tot.Qty. {printed.totals.quantity}; remove the wrong one",
                cell=2,
                cell_name="serial number",
            )
    if not is_total and printed.totals.quantity:
        printed.notes.append(
            f"The quantities of the Credit- lines come to {all_quantities}, Tot.Qty. is {printed.totals.quantity}: "
            "a page may be missing."
        )
    return tuple(
        Credit(
            line=lines[0].line,
            serial_number=serial_number,
            quantity=_sum(lines, lambda line: line.quantity, QUANTITY_DECIMALS, printed.faults),
            cif_fc=_sum(lines, lambda line: line.cif_fc, MONEY_DECIMALS, printed.faults),
            cif_inr=_sum(lines, lambda line: line.cif_inr, MONEY_DECIMALS, printed.faults),
        )
        for serial_number, lines in by_serial_number.items()
    )


def _debits(printed: Section) -> tuple[Debit, ...]:
    """The debits, the lines of one bill of entry on one serial number added up."""
    credited = {line.serial_number for line in printed.credits}
    by_bill: defaultdict[tuple[int, str, date], list[DebitLine]] = defaultdict(list)
    for line in printed.debits:
        # spreadsheets eat leading zeros, of some lines and not of others
        by_bill[line.serial_number, line.number.lstrip("0"), line.date].append(line)
        if line.serial_number and line.serial_number not in credited:
            printed.faults.add(
                line.line,
                f"'{line.serial_number}' has no Credit- line in this license: {_PAGE_IS_MISSING}",
                cell=2,
                cell_name="serial number",
            )
    if printed.faults:
        return ()
    return tuple(
        Debit(
            line=lines[0].line,
            serial_number=serial_number,
            number=max((line.number for line in lines), key=len),
            date=bill_date,
            port_code=_port(lines, printed),
            quantity=_sum(lines, lambda line: line.quantity, QUANTITY_DECIMALS, printed.faults),
            cif_fc=_sum(lines, lambda line: line.cif_fc, MONEY_DECIMALS, printed.faults),
            cif_inr=_sum(lines, lambda line: line.cif_inr, MONEY_DECIMALS, printed.faults),
        )
        for (serial_number, _, bill_date), lines in by_bill.items()
    )


def _port(lines: list[DebitLine], printed: Section) -> str:
    """The port of a bill: the first that a line names."""
    ports = list(dict.fromkeys(line.port_code for line in lines if line.port_code))
    if len(ports) > 1:
        printed.notes.append(
            f"Bill {lines[0].number} of {lines[0].date:%d/%m/%Y} on serial number {lines[0].serial_number}, from "
            f"{printed.unit} {lines[0].line} on, names several ports ({', '.join(ports)}): {ports[0]} was taken."
        )
    return ports[0] if ports else ""


def _sum(lines: list[AnyLine], part: Callable[[AnyLine], Decimal], decimals: int, faults: Faults) -> Decimal:
    """The sum, rounded only at its end; 0 and a fault where the column cannot hold it."""
    try:
        return fitted(total(map(part, lines)), decimals)
    except CellError as error:
        faults.add(lines[0].line, f"added up with the other lines of its serial number, an amount {error}")
        return Decimal(0)
