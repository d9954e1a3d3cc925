"""Days on the command line."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date

from django.core.management.base import CommandError

from ledger.as_of import Moment, UnknownError


def add_arguments(parser: ArgumentParser) -> None:
    """`--until` and `--known`."""
    parser.add_argument("--until", metavar="DAY", type=_day, help="documents until this day; default: all")
    parser.add_argument(
        "--known", metavar="DAY", type=_day, help="as known at the end of this day in India; default: now"
    )


def moment_of(until: date | None, known: date | None) -> Moment:
    """What they say. Raises CommandError where nobody can tell."""
    try:
        return Moment.of(until, known)
    except UnknownError as error:
        raise CommandError(f"{error}") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a day like 2026-03-31") from None
