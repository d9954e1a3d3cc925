"""`manage.py audit_drift`"""

import csv
import io
import json
import sys
from argparse import ArgumentParser
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from license import tables
from license.formats import as_license_number, grouped, safe_cell
from license.models import License
from reconcile.audit import Audit, Cause, audit, audit_all, together
from reconcile.evidence import why, words
from reconcile.guard import TriggerFault, trigger_faults

FIELDS = ("license_number", "serial_number", "field", "stored", "expected", "cause", "evidence")


class Command(BaseCommand):
    """Compares every balance with its facts, and changes nothing."""

    help = (
        "Compares balances with their facts and checks the triggers; read-only. "
        "Exit status: 0 no drift, 1 drift or a trigger at fault, 2 it could not be told."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--license", metavar="NUMBER", help="this license alone; default: all")
        parser.add_argument("--format", choices=("table", "json", "csv"), default="table", help="default: table")
        parser.add_argument("--output", metavar="FILE", type=Path, help="write to a file; default: standard output")

    def handle(self, *, license: str | None, format: str, output: Path | None, **_: Any) -> None:  # noqa: A002
        faults, found = _look(license)
        if format == "table":
            text = _table(found, faults, None if output is None and sys.stdout.isatty() else tables.WIDTH_OF_A_FILE)
        else:
            text = {"json": _json, "csv": _csv}[format](found, faults)
        if output is None:
            self.stdout.write(text, ending="")
        else:
            try:
                output.write_text(text, encoding="utf-8")
            except OSError as error:
                raise CommandError(f"{output} cannot be written: {error.strerror}.", returncode=2) from None
        if found.drift or faults:
            sys.exit(1)


def _look(license_number: str | None) -> tuple[list[TriggerFault], Audit]:
    """In read-only transactions: one for the triggers, one for each snapshot."""
    with _read_only():
        faults = trigger_faults()
        license_ids = None
        if license_number is not None:
            number = as_license_number(license_number)
            license_ids = list(License.objects.filter(license_number=number).values_list("pk", flat=True))
            if not license_ids:
                raise CommandError(f"No license has the number '{number}'.", returncode=2)
    with _read_only():
        return faults, together(audit_all(faults)) if license_ids is None else audit(license_ids, faults)


class _read_only(transaction.Atomic):  # noqa: N801 (used as a block, like transaction.atomic)
    """READ COMMITTED, READ ONLY: every statement has a snapshot of its own, and none can write."""

    def __init__(self) -> None:
        super().__init__(using=None, savepoint=False, durable=True)

    def __enter__(self) -> None:
        super().__enter__()
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY")


def _rows(found: Audit) -> list[dict[str, Any]]:
    return [{name: asdict(difference)[name] for name in FIELDS} for difference in found.drift]


def _json(found: Audit, faults: list[TriggerFault]) -> str:
    return (
        json.dumps(
            {
                "business_date": found.business_date and found.business_date.isoformat(),
                "licenses_checked": found.licenses_checked,
                "pending": found.pending,
                "triggers": [asdict(fault) for fault in faults],
                "drift": _rows(found),
            },
            indent=2,
        )
        + "\n"
    )


def _csv(found: Audit, _: list[TriggerFault]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS)
    writer.writeheader()
    for row in _rows(found):
        writer.writerow(
            {name: safe_cell(value) for name, value in (row | {"evidence": words(row["evidence"])}).items()}
        )
    return text.getvalue()


def _table(found: Audit, faults: list[TriggerFault], width: int | None) -> str:
    text = io.StringIO()
    console = tables.console(text, width)
    for fault in faults:
        console.print(str(fault))
    if found.drift:
        table = tables.table("license number", "serial number", "field", "stored >", "expected >", "cause …")
        for row in _rows(found):
            shown = row | {"cause": why(row["cause"], row["evidence"])}
            table.add_row(*("" if shown[name] is None else grouped(str(shown[name])) for name in FIELDS[:-1]))
        tables.show(console, table)
    causes = Counter(difference.cause for difference in found.drift)
    late = {difference.license_id for difference in found.differences if difference.cause is Cause.LAG}
    expired = {difference.license_id for difference in found.differences if difference.cause is Cause.EXPIRY}
    console.print(
        f"{found.licenses_checked} licenses checked, {len(found.drift)} differences"
        + (f" ({', '.join(f'{count} {cause}' for cause, count in causes.items())})" if causes else "")
        + f"; {found.pending} changes pending"
        + (f", {len(late)} licenses follow in a moment" if late else "")
        + (f"; {len(expired)} licenses expired at the last midnight" if expired else "")
        + "."
    )
    return text.getvalue()
