"""A database that lacks migrations of this code is refused; one that has others is not (docs/decisions/0020)."""

import logging
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest
from django.core.management import get_commands

from django_setup import BACKEND
from embedded.server import find_free_port
from ledger.relay import Relay, run
from license import schema
from manage import ON_ANY_SCHEMA, CommandLine
from tests.acceptance.conftest import PATIENCE_SECONDS, manage
from tests.conftest import sql

pytestmark = pytest.mark.usefixtures("database")

CELERY = ("-m", "celery", "-A", "lmanagement")


@pytest.fixture
def newest() -> str:
    [[name]] = sql("SELECT name FROM django_migrations WHERE app = 'ledger' ORDER BY name DESC LIMIT 1")
    return str(name)


@pytest.fixture
def behind(newest: str) -> Generator[str]:
    """The database as it was before the newest migration of ledger: its name. To the code it is the same, whether or
    not its tables are."""
    sql("DELETE FROM django_migrations WHERE app = 'ledger' AND name = %s", newest)
    yield f"ledger.{newest}"
    sql("INSERT INTO django_migrations (app, name, applied) VALUES ('ledger', %s, now())", newest)


@contextmanager
def ahead(app: str) -> Generator[None]:
    """The database as newer code leaves it."""
    sql("INSERT INTO django_migrations (app, name, applied) VALUES (%s, '9999_newer', now())", app)
    try:
        yield
    finally:
        sql("DELETE FROM django_migrations WHERE name = '9999_newer'")


def test_everything_that_runs_for_long_refuses_in_one_line(behind: str) -> None:
    port = find_free_port()
    commands = {
        "worker": [*CELERY, "worker"],
        "worker and beat": [*CELERY, "worker", "--beat"],
        "beat": [*CELERY, "beat", "--pidfile="],
        "relay": ["manage.py", "relay"],
        "runserver": ["manage.py", "runserver", str(port)],
        "gunicorn": [
            "-m",
            "gunicorn",
            "lmanagement.wsgi",
            "--no-control-socket",
            f"--bind=127.0.0.1:{port}",
            "--workers=1",
        ],
    }
    environment = {**os.environ, "SECRET_KEY": "x" * 50}
    for name, command in commands.items():
        done = subprocess.run(
            [sys.executable, *command],
            cwd=BACKEND,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == (3 if name == "gunicorn" else 2), (name, done.stderr)
        line = f"The database is older than this code, and lacks {behind}: run manage.py migrate."
        said = [each for each in done.stderr.splitlines() if name != "gunicorn" or each == line]
        assert [each[-len(line) :] for each in said] == [line], (name, done.stderr)
        assert "Traceback" not in done.stderr


def refuses(command: str) -> bool:
    return CommandLine(["manage.py"]).fetch_command(command).check_migrations == schema.check_at_start


def test_every_command_of_ours_refuses_and_none_of_djangos() -> None:
    commands = get_commands()
    ours = {name for name in commands if list(BACKEND.glob(f"*/management/commands/{name}.py"))}
    assert {"sync_licenses", "import_icegate", "relay", "audit_drift", "webhooks"} <= ours
    assert {name for name in commands if refuses(name)} == ours - {*ON_ANY_SCHEMA} | {"runserver"}


def test_what_mends_it_is_not_refused(behind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["sync_licenses", "--help"], ["help", "relay"], ["check"], ["migrate", "--check"]):
        with suppress(SystemExit):
            CommandLine(["manage.py", *arguments]).execute()
    with pytest.raises(schema.OutdatedError):
        CommandLine(["manage.py", "freshness"]).execute()


def test_what_asks_workers_is_not_refused(behind: str) -> None:
    done = subprocess.run(
        [sys.executable, *CELERY, "inspect", "ping", "--timeout=0.1"], cwd=BACKEND, capture_output=True, text=True
    )
    assert "No nodes replied" in done.stderr
    assert "migrate" not in done.stderr


def test_code_that_is_older_than_the_database_goes_on_with_a_warning() -> None:
    with ahead("ledger"):
        done = manage("freshness")
    assert done.returncode == 0
    says = "This code is older than the database, and does not know ledger.9999_newer. It goes on: upgrade it soon.\n"
    assert done.stderr == says


def test_what_others_migrated_is_theirs(caplog: pytest.LogCaptureFixture) -> None:
    with ahead("auth"), ahead("an_app_that_is_gone"), caplog.at_level(logging.INFO):
        schema.check_at_start()
    assert caplog.messages == []


def test_where_both_lack_something_it_is_refused(behind: str) -> None:
    with ahead("ledger"):
        assert schema.look() == schema.Schema([behind], ["ledger.9999_newer"])
        with pytest.raises(schema.OutdatedError):
            schema.check_at_start()


def test_a_database_that_was_never_migrated_lacks_everything() -> None:
    done = manage("drain_changes", PGOPTIONS="-c search_path=nowhere")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("The database is older than this code, and lacks admin.0001_")
    assert line.endswith(" more: run manage.py migrate.")


@pytest.mark.parametrize("options", ["-c role=pg_monitor", "-c statement_timeout=1"])
def test_a_database_that_cannot_be_asked_is_not_refused(options: str) -> None:
    code = "import django; django.setup(); from license import schema; schema.check_at_start(); print('goes on')"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "lmanagement.settings", "PGOPTIONS": options}
    environment["DATABASE_URL"] += "?connect_timeout=2"
    done = subprocess.run([sys.executable, "-c", code], cwd=BACKEND, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("goes on\n", "")


def test_a_relay_that_waited_for_its_database_looks_when_it_is_there(newest: str) -> None:
    """And so does one whose database was put back to what it was."""
    relay = Relay(hand_over=lambda: True)
    sql("DELETE FROM django_migrations WHERE app = 'ledger' AND name = %s", newest)
    try:
        with pytest.raises(schema.OutdatedError):
            run(relay)
    finally:
        sql("INSERT INTO django_migrations (app, name, applied) VALUES ('ledger', %s, now())", newest)
