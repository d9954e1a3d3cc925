"""`manage.py drain_changes`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ledger import engine
from ledger.models import LicenseChange, Quarantine


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
        held = Quarantine.objects.order_by("license_id")
        for license in held:
            self.stderr.write(f"License with id {license.license_id} is in quarantine: {license.error.splitlines()[0]}")
        left = LicenseChange.objects.count()
        if left:
            raise CommandError(
                f"{left} changes are left: they came in meanwhile, or others hold their {len(outcome.busy)} licenses. "
                "Run it again."
            )
        if held:
            raise CommandError(
                f"{len(held)} licenses are in quarantine: correct their facts, and they are tried again."
            )
