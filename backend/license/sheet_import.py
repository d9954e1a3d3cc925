"""Loading a sheet: read, told apart, checked and written in one transaction, or not at all."""

import random
import time
from pathlib import Path

from django.db import DatabaseError, connection, transaction

from license.headings import Heading, SheetKind, read_heading
from license.item_sheet import load_item_sheet
from license.name_sheet import load_name_sheet
from license.sheet_report import Report, SheetError
from license.sheets import Sheet, UnreadableFileError, read_sheet

ATTEMPTS = 5
LOCK_TIMEOUT_SECONDS = 30
_LOCK_NOT_AVAILABLE = "55P03"
# deadlock, serialisation failure; a row that was deleted between our look and our commit
_STARTS_AGAIN = ("40P01", "40001", "23503")
_LOADERS = {SheetKind.ITEMS: load_item_sheet, SheetKind.NAMES: load_name_sheet}


def import_sheet(path: Path, *, dry_run: bool = False) -> Report:
    """Load a sheet whole, or change nothing; with `dry_run`, do all the same and take it back.

    Raises SheetError with every problem of the file. Must not be called inside a transaction.
    """
    try:
        sheet = read_sheet(path)
        heading = read_heading(sheet)
    except UnreadableFileError as error:
        raise SheetError(f"{path}: the file {error}.") from None
    for attempt in range(1, ATTEMPTS + 1):
        try:
            report = _load(sheet, heading, dry_run=dry_run)
        except DatabaseError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state == _LOCK_NOT_AVAILABLE:
                raise SheetError(
                    f"{path.name}: nothing is changed: somebody has kept these licenses or names locked for "
                    f"{LOCK_TIMEOUT_SECONDS} seconds; try again later."
                ) from error
            if state not in _STARTS_AGAIN or attempt == ATTEMPTS:
                raise
            wait_seconds = random.uniform(0.05, 0.1) * 2**attempt
            time.sleep(wait_seconds)
        else:
            notes = [f"{path.name}: {note}." for note in sheet.notes]
            if heading.unknown:
                notes.append(
                    f"{path.name}: columns with an unknown heading are not read: {', '.join(heading.unknown)}."
                )
            report.notes[:0] = notes
            return report
    raise AssertionError("unreachable")


def _load(sheet: Sheet, heading: Heading, *, dry_run: bool) -> Report:
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_SECONDS}s"])
        report = _LOADERS[heading.kind](sheet, heading)
        transaction.set_rollback(dry_run)
    return report
