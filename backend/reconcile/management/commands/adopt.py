"""`manage.py adopt`"""

import csv
import io
import shutil
import sys
from argparse import ArgumentParser
from dataclasses import asdict, astuple, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ledger.engine import Outcome
from license import tables
from license.formats import grouped, safe_cell
from license.models import License
from license.progress import license_bar
from reconcile.adopting import StoredNumber, build, compare, may_build
from reconcile.audit import audit_all, together
from reconcile.guard import trigger_faults

SHOWN = 20
FIELDS = tuple(field.name for field in fields(StoredNumber))


class Command(BaseCommand):
    """Takes over a database with facts of another system: reports what it stored, and builds every balance."""

    help = (
        "For a database whose facts come from another system (docs/moving.md): reports every stored number that is not "
        "what the facts say, builds all balances, and proves them. Numbers are those of our balance tables, and of "
        "columns by the same names beside the facts. "
        "Exit status: 0 no number differed, 1 some did, 2 it is not done. After 0 and 1 all balances are right, "
        "unless it was a dry run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="report, change nothing")
        parser.add_argument("--output", metavar="FILE", type=Path, help="the report as CSV; the first 20 are printed")

    def handle(self, *, dry_run: bool, output: Path | None, **_: Any) -> None:
        if faults := trigger_faults():
            told = "\n".join(str(fault) for fault in faults)
            raise CommandError(f"{told}\nNothing was done: writes could go unseen.", returncode=2)
        if not dry_run and not may_build():
            raise CommandError(
                "The database role of DATABASE_URL may not write balances: the worker's may (license_worker). "
                "Nothing was done; --dry-run only looks.",
                returncode=2,
            )
        different = self._compare(output)
        if dry_run:
            self.stdout.write("Nothing was changed.")
        else:
            self._build()
        if different:
            sys.exit(1)

    def _compare(self, output: Path | None) -> int:
        """Report what differs, before anything is built: afterwards nobody can tell any more what was stored in our
        tables. How many they are: it may be every number that there is, so they are not kept."""
        shown: list[StoredNumber] = []
        licenses = numbers = different = 0
        with TemporaryFile("w+", encoding="utf-8", newline="") as report, license_bar() as bar:
            task = bar.add_task("comparing", total=License.objects.count())
            try:
                writer = csv.DictWriter(report, FIELDS)
                writer.writeheader()
                for compared in compare():
                    licenses += compared.licenses
                    numbers += compared.numbers
                    different += len(compared.different)
                    shown += compared.different[: SHOWN - len(shown)]
                    if output is not None:
                        writer.writerows(_row(number) for number in compared.different)
                    bar.advance(task, compared.licenses)
                if output is not None:
                    report.seek(0)
                    with output.open("w", encoding="utf-8", newline="") as file:
                        shutil.copyfileobj(report, file)
            except OSError as error:
                raise CommandError(
                    f"{output} cannot be written: {error.strerror}. Nothing was done.", returncode=2
                ) from None
        self.stdout.write(f"{licenses} licenses, {numbers} stored numbers and flags, {different} of them differ.")
        if licenses and not numbers:
            self.stdout.write(
                "Nothing was compared: there is no number in our balance tables, nor in a column of their names "
                "beside the facts (docs/moving.md)."
            )
        if shown:
            self._show(shown)
        if different > SHOWN:
            where = f"{output} has all" if output else "--output=FILE writes all"
            self.stdout.write(f"… and {different - SHOWN} more: {where}.")
        return different

    def _show(self, different: list[StoredNumber]) -> None:
        table = tables.table("license number", "serial number", "field", "stored >", "expected >", "stored in")
        for number in different:
            table.add_row(*("" if cell is None else grouped(str(cell)) for cell in astuple(number)))
        text = io.StringIO()
        tables.show(tables.console(text), table)
        self.stdout.write(text.getvalue(), ending="")

    def _build(self) -> None:
        built = Outcome()
        with license_bar() as bar:
            task = bar.add_task("building", total=License.objects.count())
            for licenses, outcome in build():
                built.add(outcome)
                bar.advance(task, licenses)
        left = together(audit_all(trigger_faults()))
        if left.drift:
            wrong = sorted({difference.license_number for difference in left.drift})
            raise CommandError(
                f"{', '.join(wrong[:SHOWN])}{' …' if len(wrong) > SHOWN else ''} not as the facts say: "
                "manage.py audit_drift tells why. Once it is mended, run this again.",
                returncode=2,
            )
        self.stdout.write(f"{built.written} licenses were written, {left.licenses_checked} proved: all are right.")


def _row(number: StoredNumber) -> dict[str, str]:
    return {name: safe_cell(cell) for name, cell in asdict(number).items()}
