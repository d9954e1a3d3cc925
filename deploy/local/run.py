"""`make run`: the stack of a developer or a curious person, until Ctrl-C: migrated, with pages, worker, beat, relay.

A database of its own gets somebody who may log in, and the sample ledgers; one that was there before is left as it is.
"""

import secrets
import signal
import socket
import subprocess
import sys
import time

from django_setup import CHECKOUT, set_up_django
from embedded.secret import get_password
from embedded.server import find_free_port, is_free
from processes import celery, pages, relay

set_up_django()

from django.core.management import call_command  # noqa: E402

import env_file  # noqa: E402
import samples  # noqa: E402

MANAGE = "backend/manage.py"
FOLDER = CHECKOUT / ".local" / "run"
PORT = 8000
PERSON = "desk"
PATIENCE_SECONDS = 60


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    call_command("migrate", verbosity=0)
    if "DATABASE_URL" in env_file.read(CHECKOUT / ".local" / "servers.env"):  # it is our own
        login = let_somebody_in()
        samples.load()
    else:
        login = f"The database is not ours: {MANAGE} createsuperuser makes somebody who may log in."
    port = PORT if is_free(PORT) else find_free_port()
    environment = {"HTTPS": "false", "SECRET_KEY": get_password(FOLDER / "secret-key")}
    with (
        celery("worker", "--beat", "--loglevel=info", log="worker.log", folder=FOLDER) as worker,
        relay("relay.log", FOLDER),
        pages(port, "pages.log", FOLDER, environment) as web,
    ):
        wait_for(port, web)
        python = ".venv/bin/python"
        print(
            f"The pages are at http://127.0.0.1:{port}/\n{login}\n"
            f"A worker, beat and a relay are up too; logs: .local/run/*.log. In another terminal, from {CHECKOUT}:\n"
            f"  {python} {MANAGE} import_icegate FILE…\n"
            f"  {python} {MANAGE} explain_balance NUMBER\n"
            "Ctrl-C ends it; the data stay in .local/run/.",
            flush=True,
        )
        try:
            status = worker.wait()
        except KeyboardInterrupt:
            return
    sys.exit(f"The worker has ended by itself, with status {status}; see its log.")


def let_somebody_in() -> str:
    """What to log in with. The first time somebody is made, with a password that is shown this once."""
    from django.contrib.auth.models import Group, User

    another = f"{MANAGE} changepassword {PERSON} sets another password"
    if User.objects.exists():
        return f"Log in as before; {another}."
    password = secrets.token_urlsafe(12)
    User.objects.create_user(PERSON, password=password).groups.add(Group.objects.get(name="administrator"))
    return f"Log in as {PERSON}, password {password} (shown this once; {another})."


def wait_for(port: int, web: subprocess.Popen[bytes]) -> None:
    """Until the pages answer. Ends us when they do not come up."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while web.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("The pages did not come up; see .local/run/pages.log.")


if __name__ == "__main__":
    main()
