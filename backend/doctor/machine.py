"""Whether this machine has what processes on it need."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from doctor.examination import Finding, Level, Part, check

PAGE = "docs/operations.md#this-machine"
FOLDERS = ("/var/log", "/var/lib/postgresql", "/var/lib/redis")
"""Besides that of the program and that of temporary files, where they are on this machine."""
LEAST_FREE_PERCENT = 5
LEAST_FREE_BYTES = 5 * 1024**3


@check(Part.MACHINE, PAGE)
def disks_have_room() -> Iterator[Finding]:
    """Each once, whichever of our folders are on it."""
    folders = [str(settings.BACKEND), tempfile.gettempdir(), *FOLDERS]
    of_disk = {Path(folder).stat().st_dev: folder for folder in reversed(folders) if Path(folder).exists()}
    for folder in sorted(of_disk.values(), key=folders.index):
        disk = shutil.disk_usage(folder)
        if disk.free < LEAST_FREE_BYTES and disk.free * 100 < disk.total * LEAST_FREE_PERCENT:
            yield Finding(
                f"The disk of {folder} has {disk.free / 1024**3:.1f} GB left of {disk.total / 1024**3:.1f}",
                "Free it, or enlarge it, before PostgreSQL, Redis or a log cannot write any more",
            )


@check(Part.MACHINE, "docs/monitoring.md#metrics")
def somebody_is_told_of_trouble() -> Iterator[Finding]:
    """By Prometheus, which has to be let in."""
    if not settings.METRICS_TOKEN:
        yield Finding(
            "No monitoring may ask how it is: METRICS_TOKEN is not set, and no alert tells anybody of trouble",
            "Set METRICS_TOKEN for the pages, and have Prometheus read /metrics",
            Level.NOTE,
        )
