"""`manage.py quarantine`"""

import re
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ledger.engine import recompute
from ledger.models import Quarantine
from license.clock import INDIA
from license.formats import as_license_number
from license.models import License


class Command(BaseCommand):
    """The licenses whose balances are older than their facts, since their recompute fails."""

    help = (
        "Lists the licenses that cannot be recomputed, each with its error, and tries them again on demand. "
        "Exit status: 0 none is left, 1 there are some, or no such license is in quarantine."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--retry", action="store_true", help="try them again now, not when their time has come")
        parser.add_argument(
            "--license", metavar="NUMBER", help="this license alone, or 'license id N', as it is listed; default: all"
        )

    def handle(self, *, retry: bool, license: str | None, **_: Any) -> None:
        held = Quarantine.objects.order_by("first_failed_at", "license_id")
        if license is not None:
            if of_deleted := re.fullmatch(r"license id ([0-9]{1,18})", license):
                what, held = f"'{license}'", held.filter(license_id=of_deleted[1])
            else:
                number = as_license_number(license)
                what = f"license with the number '{number}'"
                held = held.filter(license_id__in=License.objects.filter(license_number=number).values("pk"))
            if not held.exists():
                raise CommandError(f"No {what} is in quarantine.")
        names = {license_id: f"license id {license_id}" for license_id in held.values_list("license_id", flat=True)}
        names |= License.objects.filter(pk__in=names).values_list("pk", "license_number")
        if retry:
            outcome = recompute(names)
            tried = len(names) - len(outcome.busy)
            self.stdout.write(f"Tried {tried} licenses again, {outcome.recomputed} are recomputed.")
            if outcome.busy:
                busy = ", ".join(names[license_id] for license_id in sorted(outcome.busy))
                self.stdout.write(f"Not tried, since somebody holds their balances: {busy}")
        for row in held:
            since, then = (
                f"{timezone.localtime(moment, INDIA):%d %b %Y %H:%M:%S}"
                for moment in (row.first_failed_at, row.next_try_at)
            )
            self.stdout.write(
                f"{names.get(row.license_id, f'license id {row.license_id}')}: since {since} IST, "
                f"tries: {row.attempts}, next {then} IST: {row.error.splitlines()[0]}"
            )
        if held:
            sys.exit(1)
        if not retry:
            self.stdout.write("No license is in quarantine.")
