"""Takes backups of the database, and knows how old the last one is (docs/drills.md#taking-a-backup)."""

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.db.backends.postgresql.client import DatabaseClient
from django.db.models import Max
from django.db.models.functions import Now

from license.clock import INDIA
from reconcile.models import Backup
from reconcile.sql import queries

OLD_AFTER = timedelta(hours=36)
"""One was missed, and half a day has gone by. The alert (deploy/prometheus/alerts.yml) says the same."""
MOMENT = "%Y-%m-%dT%H-%M-%S"
PARTLY = ".part"


class BackupError(Exception):
    """There is no new backup. Says why, and what to do."""


class _PgDump(DatabaseClient):
    executable_name = "pg_dump"


def age() -> timedelta | None:
    """Of what is in the newest backup, by PostgreSQL's clock; None: this database knows of none."""
    found: timedelta | None = Backup.objects.aggregate(age=Now() - Max("began_at"))["age"]
    return found


def take(folder: Path, keep: int) -> tuple[Backup, list[Path]]:
    """Write everything into a new file of a folder, DATABASE-MOMENT.dump in India's time, for this user alone to read,
    and delete all but the newest `keep` of this database: what was written, and what was deleted.

    The file has its name when it is whole and on the disk, and nothing is deleted before. It is of one snapshot. Must
    not be called inside a transaction; as a role that may read every table and write down that there is a backup:
    license_owner. Raises BackupError.
    """
    database = connection.settings_dict["NAME"]
    try:
        with _alone_in(folder) as place:
            [began_at] = queries.column("clock")
            file = folder / f"{database}-{began_at.astimezone(INDIA):{MOMENT}}.dump"
            partly = file.with_name(file.name + PARTLY)
            for left in folder.glob(f"{database}-*.dump{PARTLY}"):  # by one who was killed
                left.unlink()
            try:
                _dump(partly)
                partly.rename(file)
            finally:
                partly.unlink(missing_ok=True)
            os.fsync(place)
            backup = Backup.objects.create(began_at=began_at, size_bytes=file.stat().st_size, file=str(file.resolve()))
            # not the new one, where a clock that was wrong has named others for a day to come
            old = [each for each in _backups(folder, database)[:-keep] if each != file]
            for each in old:
                each.unlink()
            return backup, old
    except OSError as error:
        raise BackupError(f"{error.filename or folder}: {error.strerror}.") from None


def _backups(folder: Path, database: str) -> list[Path]:
    """Of this database, the oldest first."""
    named = re.compile(rf"{re.escape(database)}-\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d\.dump")
    return sorted(path for path in folder.iterdir() if named.fullmatch(path.name))


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """While nobody else takes a backup there: its descriptor."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"Somebody is taking a backup into {folder} already.") from None
        yield place
    finally:
        os.close(place)


def _dump(file: Path) -> None:
    """By pg_dump, with the address, the role and the password of this connection; it syncs the file."""
    options = ["--format=custom", "--no-password", f"--file={file}"]
    command, environment = _PgDump.settings_to_cmd_args_env(connection.settings_dict, options)
    connection.close()  # it may take long
    try:
        done = subprocess.run(  # noqa: S603 (the connection's own words, by the settings)
            command,
            env={**os.environ, **(environment or {})},
            umask=0o077,
            check=False,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise BackupError(
            "There is no pg_dump here: install PostgreSQL's client programs, of its own version."
        ) from None
    if done.returncode:
        said = done.stderr.strip() or f"it ended with status {done.returncode}"
        raise BackupError(f"pg_dump has made no backup: {said}")
