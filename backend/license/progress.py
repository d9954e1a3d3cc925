"""A progress bar over licenses, on a terminal; nothing where nobody looks."""

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


def license_bar() -> Progress:
    """A bar on standard error that is gone when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("licenses"),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
