#!/usr/bin/env python
"""Django's command line for the license balance engine."""

import os
import pwd
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, ManagementUtility
from django.db import DatabaseError

from ledger.acting import acting
from license import schema

CANNOT_BE_DONE = 2  # as for a wrong call: it was not tried, which is not the same as a no
INTERRUPTED = 130

# by the beginning of its SQLSTATE, longest first: what a person can cause, and what to do
WHAT_TO_DO = {
    "42P01": "The database lacks a table: run manage.py migrate.",
    "42703": "The database lacks a column: run manage.py migrate.",
    "42501": "The database role of DATABASE_URL lacks a right.",
    "25006": "The database is read-only: is it a standby, is its disk full, or may the role of DATABASE_URL only read?",
    "28": "The database refuses the user or password of DATABASE_URL.",
    "3D": "There is no such database; DATABASE_URL names it.",
    "53": "The database has run out of something: connections, memory or disk.",
    "55P03": "Somebody else holds a lock on what is needed; try again.",
    "57014": "The database took longer than its statement_timeout allows.",
    "57": "The database is shutting down or starting; try again.",
    "08": "The connection to the database broke; try again.",
    "": "DATABASE_URL says where the database is; is it running?",
}


ON_ANY_SCHEMA = ("doctor", "shell")
"""Ours that run where the database is behind this code: to find out what is wrong, and to mend it."""


class CommandLine(ManagementUtility):
    """Django's, but that our own commands and `runserver` refuse a database that is behind this code."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        command = super().fetch_command(subcommand)
        is_ours = Path(sys.modules[type(command).__module__].__file__ or "").is_relative_to(Path(__file__).parent)
        if (is_ours and subcommand not in ON_ANY_SCHEMA) or subcommand == "runserver":
            command.requires_migrations_checks = True
            command.check_migrations = schema.check_at_start  # type: ignore[method-assign]
        return command


def main() -> None:
    """Run the command. What a person can cause is one line on standard error, and not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
    try:
        with acting(via=f"{' '.join(['manage.py', *sys.argv[1:2]])}, by {_login()}"):
            CommandLine(sys.argv).execute()
    except schema.OutdatedError as error:
        _fail(CANNOT_BE_DONE, str(error))
    except ImproperlyConfigured as error:
        _fail(CANNOT_BE_DONE, f"The settings are wrong: {error}. docs/configuration.md lists them.")
    except DatabaseError as error:
        state = getattr(error.__cause__, "sqlstate", None) or ""
        known = [begin for begin in WHAT_TO_DO if begin and state.startswith(begin)] or ([] if state else [""])
        if not known:
            raise
        _fail(CANNOT_BE_DONE, f"{WHAT_TO_DO[max(known, key=len)]} ({error})")
    except KeyboardInterrupt:
        _fail(INTERRUPTED, "Interrupted.")
    except BrokenPipeError:
        # whoever read our output has read enough; closing it anew at exit must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _login() -> str:
    """Of the operating system, not of the environment, in which anybody may stand."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # its number has no name
        return f"{os.getuid()}"


def _fail(status: int, line: str) -> None:
    sys.stderr.write(" ".join(line.split()) + "\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
