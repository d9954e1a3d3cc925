"""`make run`: the stack of a developer or a curious person, until Ctrl-C: migrated, with a worker, beat and relay."""

import signal
import sys

from django_setup import CHECKOUT, set_up_django
from processes import celery, relay

set_up_django()

from django.core.management import call_command  # noqa: E402

MANAGE = "backend/manage.py"


def main() -> None:
    call_command("migrate", verbosity=0)
    python = ".venv/bin/python"
    print(
        f"A worker, beat and a relay are up; their logs are .local/run/*.log. In another terminal, from {CHECKOUT}:\n"
        f"  {python} {MANAGE} import_icegate samples/dfia-2025.csv\n"
        f"  {python} {MANAGE} explain_balance NUMBER\n"
        "Ctrl-C ends it; the data stay in .local/run/.",
        flush=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = CHECKOUT / ".local" / "run"
    with (
        celery("worker", "--beat", "--loglevel=info", log="worker.log", folder=folder) as worker,
        relay("relay.log", folder),
    ):
        try:
            status = worker.wait()
        except KeyboardInterrupt:
            return
    sys.exit(f"The worker has ended by itself, with status {status}; see its log.")


if __name__ == "__main__":
    main()
