"""`manage.py balances_as_of`"""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from desk import files_of_commands
from desk.as_of import COLUMNS, rows
from ledger import moments


class Command(BaseCommand):
    """Writes what every license had left as of a date, as CSV."""

    help = "Writes what every license had left as of a date, as CSV: the file of the page As of a date."

    def add_arguments(self, parser: ArgumentParser) -> None:
        moments.add_arguments(parser)
        files_of_commands.add_arguments(parser)

    def handle(self, *, until: date | None, known: date | None, output: Path | None, **_: Any) -> None:
        files_of_commands.write(self.stdout, output, COLUMNS, rows(moments.moment_of(until, known)))
