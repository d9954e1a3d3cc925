"""`manage.py trail`"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.http import Http404

from desk import files_of_commands
from desk.trail import CSV, TrailFilter, every_change, every_change_of, ids_of
from ledger.models import TrailStatement
from license.formats import as_license_number


class Command(BaseCommand):
    """Writes who changed what, as CSV."""

    help = "Writes who changed what, the newest first, as CSV: the files of the pages of the trail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--license", metavar="NUMBER", help="all that the balance of this license is made of")
        parser.add_argument("--user", default="", help="what somebody wrote who had logged in")
        parser.add_argument("--since", metavar="DAY", default="", help="from this day on, like 2026-03-31")
        parser.add_argument("--until", metavar="DAY", default="", help="until this day")
        files_of_commands.add_arguments(parser)

    def handle(self, *, license: str | None, user: str, since: str, until: str, output: Path | None, **_: Any) -> None:
        if license is not None:
            if user or since or until:
                raise CommandError("Ask for a license, or for what was written by whom and when: not for both.")
            try:
                changes = every_change_of(ids_of(as_license_number(license)))
            except Http404 as error:
                raise CommandError(f"{error}") from None
        else:
            asked = {"user": user, "since": since, "until": until}
            found = TrailFilter(asked, queryset=TrailStatement.objects.order_by("-pk"))
            if not found.is_valid():
                raise CommandError(" ".join(f"--{name}: {' '.join(said)}" for name, said in found.errors.items()))
            changes = every_change(found.qs)
        files_of_commands.write(self.stdout, output, CSV, changes)
