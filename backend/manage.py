#!/usr/bin/env python
"""Django's command line for the license balance engine."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError, OperationalError

UNDEFINED_TABLE = "42P01"


def main() -> None:
    """Run the command. What a person can cause, a database that is away or not migrated, is one line, not a traceback.

    Exit status 2, as for a wrong call: it could not be done, which is not the same as a no.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(_fail(f"the settings are wrong: {error}", "docs/configuration.md lists them."))
    except OperationalError as error:
        sys.exit(_fail(f"the database cannot be used: {error}", "DATABASE_URL says where it is; is it running?"))
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) != UNDEFINED_TABLE:
            raise
        sys.exit(_fail(f"the database lacks a table: {error}", "Run manage.py migrate."))


def _fail(what: str, what_to_do: str) -> int:
    sys.stderr.write(f"{' '.join(what.split()).rstrip('.')}. {what_to_do}\n")
    return 2


if __name__ == "__main__":
    main()
