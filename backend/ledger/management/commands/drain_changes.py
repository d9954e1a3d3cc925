"""`manage.py drain_changes`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ledger import engine
from ledger.models import LicenseChange, Quarantine
from license.models import License


class Command(BaseCommand):
    """Works off every pending change, here and now."""

    help = (
        "Works off every pending change in the foreground; no broker is needed. "
        "Exit status: 0 none is left, 1 some are, or a license is in quarantine."
    )

    def handle(self, **_: Any) -> None:
        outcome = engine.drain()
        self.stdout.write(
            f"Recomputed {outcome.recomputed} licenses for {outcome.changes} changes; "
            f"{outcome.written} had a balance that differed."
        )
        held = {row.license_id: row.error.splitlines()[0] for row in Quarantine.objects.order_by("license_id")}
        numbers = dict(License.objects.filter(pk__in=held).values_list("pk", "license_number"))
        for license_id, error in held.items():
            self.stderr.write(f"License {numbers.get(license_id, f'with id {license_id}')} is in quarantine: {error}")
        left = LicenseChange.objects.count()
        if left:
            raise CommandError(
                f"Changes are left: {left}. They came in meanwhile, or others hold the {len(outcome.busy)} licenses "
                "that they mean. Run it again."
            )
        if held:
            raise CommandError(f"Licenses in quarantine: {len(held)}. Correct their facts, and they are tried again.")
