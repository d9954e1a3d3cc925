"""`manage.py backup`"""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat

from reconcile import backup

KEEP = 14


class Command(BaseCommand):
    """For license-backup.timer, and by hand."""

    help = (
        "Writes the whole database into a new file of a folder (pg_dump, of one snapshot, beside any load) that only "
        "this user can read, and deletes all but the newest of its backups there. For the role license_owner. "
        "docs/drills.md says how one is restored. "
        "Exit status: 0 done, 1 not, and standard error says why; no backup is deleted before there is a new one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", metavar="FOLDER", type=Path, help="where backups are")
        parser.add_argument(
            "--keep", type=_count, default=KEEP, metavar="NUMBER", help=f"how many are left there; default: {KEEP}"
        )

    def handle(self, *, folder: Path, keep: int, **_: Any) -> None:
        try:
            taken, old = backup.take(folder, keep)
        except backup.BackupError as error:
            raise CommandError(f"{error}") from None
        self.stdout.write(f"{taken.file}: {filesizeformat(taken.size_bytes)}".replace("\xa0", " "))
        for each in old:
            self.stdout.write(f"{each} is deleted")


def _count(typed: str) -> int:
    if not typed.isdecimal() or int(typed) < 1:
        raise ArgumentTypeError(f"{typed}: at least 1")
    return int(typed)
