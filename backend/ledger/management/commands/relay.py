"""`manage.py relay`"""

import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from ledger import hints
from ledger.keys import Keys
from ledger.relay import Relay, run


class Command(BaseCommand):
    """Makes raw SQL and bulk writes near-real-time: without it they wait for the sweep."""

    help = (
        "Finds changes that no signal announced: works off a few by itself and hands more to the workers, or does "
        "those too while the broker is away. Runs until it is told to stop; any number may run. It needs a session of "
        "its own: behind a pooler in transaction mode, give it a DATABASE_URL that goes past it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--poll",
            action="store_true",
            help="never sleep until a writer notifies: look a few times a second, also when nothing happens",
        )

    def handle(self, *, poll: bool, **_: Any) -> None:
        relay = Relay(hand_over=lambda: hints.send(Keys()), is_sleepy=not poll)

        def stop(*_: object) -> None:
            """End at once: a batch that is cut off leaves all as it was. Where Python drops a SystemExit, in the
            callback of a weak reference or in a `__del__`, the relay ends after this look."""
            relay.is_to_end = True
            sys.exit(0)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        run(relay)
