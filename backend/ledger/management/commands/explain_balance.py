"""`manage.py explain_balance NUMBER`"""

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.table import Table

from ledger import moments
from ledger.explain import Explanation, Line, explain, explain_as_of
from license import tables
from license.clock import INDIA
from license.formats import as_license_number, day, indian
from license.models import License

WIDTH_OF_A_FILE = 160


class Command(BaseCommand):
    """Shows the lines that a balance is made of, and the rule behind each available value."""

    help = "Shows the lines that a balance is made of, each with its source, and the rule behind each available value."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("license_number", metavar="NUMBER", help="leading zeros may be left out")
        moments.add_arguments(parser)

    def handle(self, *, license_number: str, until: date | None, known: date | None, **_: Any) -> None:
        number = as_license_number(license_number)
        moment = moments.moment_of(until, known) if until or known else None
        try:
            explanation = explain_as_of(number, moment) if moment else explain(number)
        except License.DoesNotExist:
            raise CommandError(f"No license {'had' if moment else 'has'} the number '{number}'.") from None
        width = None if self.stdout.isatty() else WIDTH_OF_A_FILE
        console = tables.console(cast("IO[str]", self.stdout), width)
        _show(explanation, partial(tables.show, console), partial(_shown_then, until) if moment else _freshness)


def _show(explanation: Explanation, show: Callable[..., None], of_what_is_stored: Callable[[Explanation], str]) -> None:
    license = explanation.license
    show(f"License {license} of {day(license.license_date)}, {license.exporter or 'exporter unknown'}")
    expiry = license.license_expiry_date
    show(
        "Expiry "
        + (f"{day(expiry)}" + (" (presumed)" if license.is_expiry_presumed else "") if expiry else "unknown")
        + (f", expired as of {day(explanation.today)}" if explanation.is_expired else "")
        + f"; notification {license.notification_number or 'unknown'}; amounts in {license.currency}"
    )
    if explanation.is_norm_unknown:
        show("Norm unknown: no export item has one, so restrictions by name cannot be applied.")
    show(_lines("Credits", explanation.credits, explanation.credit_cif))
    show(_lines("Debits", explanation.debits, explanation.debited_cif))
    show(_lines("Open allotments", explanation.allotments, explanation.allotted_cif))
    show(
        f"Balance: {indian(explanation.credit_cif)} - {indian(explanation.debited_cif)} - "
        f"{indian(explanation.allotted_cif)} = {indian(explanation.balance_cif - explanation.overdrawn_cif)}"
    )
    show(
        f"  available {indian(explanation.balance_cif)}, overdrawn {indian(explanation.overdrawn_cif)}"
        + (", null (below 500.00)" if explanation.is_null else "")
    )
    show("  " + of_what_is_stored(explanation))
    show(_items(explanation))


def _shown_then(until: date | None, explanation: Explanation) -> str:
    as_of = f"as of {day(explanation.today)}"
    if until:
        return as_of
    if explanation.stored_balance_cif is None or explanation.computed_at is None:
        return f"{as_of}; no balance was shown then, or it is not kept any more"
    when = f"{timezone.localtime(explanation.computed_at, INDIA):%d %b %Y %H:%M:%S} IST"
    return f"{as_of}; shown was {indian(explanation.stored_balance_cif)}, since {when}"


def _freshness(explanation: Explanation) -> str:
    if held := explanation.quarantine:
        when = f"{timezone.localtime(held.next_try_at, INDIA):%d %b %Y %H:%M:%S} IST"
        stored = explanation.stored_balance_cif
        return (
            f"quarantined: it cannot be recomputed ({held.error.splitlines()[0]}), "
            + ("and has no stored balance" if stored is None else f"stored is an older {indian(stored)}")
            + f"; tried {held.attempts} times, the next time after {when}, or when its facts change"
        )
    if explanation.pending:
        return f"{explanation.pending} changes are pending: the stored balance follows in a moment"
    if explanation.stored_balance_cif is None or explanation.computed_at is None:
        return "no balance is stored, and no change is pending: manage.py sync_licenses repairs that"
    when = f"{timezone.localtime(explanation.computed_at, INDIA):%d %b %Y %H:%M:%S} IST"
    if explanation.stored_balance_cif != explanation.balance_cif:
        return (
            f"stored is {indian(explanation.stored_balance_cif)} (of {when}), and no change is pending: this is drift"
        )
    return f"stored as such at {when}, no change pending"


def _lines(title: str, lines: list[Line], total: Any) -> Table | str:
    if not lines:
        return f"{title}: none"
    headings = ("item >", "document …", "source …", "quantity >", "CIF >")
    table = tables.table(*headings, title=f"{title}: {indian(total)}")
    for line in lines:
        table.add_row(
            str(line.serial_number or ""),
            line.document,
            line.source,
            "" if line.quantity is None else indian(line.quantity, 3),
            indian(line.cif_fc),
        )
    return table


def _items(explanation: Explanation) -> Table | str:
    if not explanation.items:
        return "Import items: none"
    headings = (
        "item >",
        "quantity >",
        "debited >",
        "allotted >",
        "available >",
        "value >",
        "the value is decided by …",
    )
    table = tables.table(*headings, title="Import items")
    for item in explanation.items:
        over = [f"overdrawn quantity {indian(item.overdrawn_quantity, 3)}"] if item.overdrawn_quantity else []
        over += [f"overdrawn value {indian(item.overdrawn_value)}"] if item.overdrawn_value else []
        table.add_row(
            str(item.serial_number),
            indian(item.quantity, 3),
            indian(item.debited_quantity, 3),
            indian(item.allotted_quantity, 3),
            indian(item.available_quantity, 3),
            indian(item.available_value),
            "; ".join([item.rule, *over]),
        )
    return table
