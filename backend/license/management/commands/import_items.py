"""`manage.py import_items FILE`"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from license.sheet_import import import_sheet
from license.sheet_report import SheetError, listed


class Command(BaseCommand):
    """Loads an item sheet or a name sheet. docs/import-items.md says what stands in them."""

    help = (
        "Loads what no ledger carries from a CSV or XLSX file: descriptions, HS codes, norms, item names and condition "
        "sheet percentages (item sheet), or item names and their match rules (name sheet). A file with any error "
        "changes nothing; one that is loaded already changes nothing. Exit status: 0 loaded, 1 refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="an item sheet or a name sheet: its first row says which")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")

    def handle(self, *, file: str, dry_run: bool, **_: Any) -> None:
        try:
            report = import_sheet(Path(file), dry_run=dry_run)
        except SheetError as error:
            raise CommandError(str(error)) from error
        for note in listed(report.notes):
            self.stdout.write(note)
        if dry_run:
            for change in report.changes:
                self.stdout.write(str(change))
        self.stdout.write(f"{report.title.capitalize()}, {report.rows:,} rows read, {report.unchanged:,} unchanged.")
        counts = ", ".join(f"{what} {count:,}" for what, count in report.counts.items() if count)
        done = "Dry run, nothing is changed. It would change" if dry_run else "Changed"
        self.stdout.write(f"{done}: {counts or 'nothing'}.")
