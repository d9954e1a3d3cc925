"""`manage.py import_icegate FILE…`"""

from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from datetime import date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ledger.icegate.load import AnotherLoadError, Loaded, Status, load
from ledger.icegate.parse import parse_file
from license.clock import business_date
from license.progress import license_bar


class Command(BaseCommand):
    """Loads item-wise ledgers of the customs portal. docs/icegate.md says how."""

    help = (
        "Loads ICEGATE item-wise ledgers (CSV, printed text or HTML). Each license is loaded whole or not at all; a "
        "ledger that is loaded already changes nothing. Exit status: 0 all loaded, 1 something was not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="one ledger or many in each")
        parser.add_argument(
            "--force", action="store_true", help="load licenses too whose debits do not fit customs' own balance"
        )
        parser.add_argument(
            "--ledger-date",
            type=_date,
            metavar="DD/MM/YYYY",
            help="the day on which the files were printed, for those that do not say it",
        )

    def handle(self, *, files: list[str], force: bool, ledger_date: date | None, **options: Any) -> None:
        counts: Counter[str] = Counter()
        is_incomplete = False
        with license_bar() as bar:
            for name in files:
                parsed = parse_file(name)
                for problem in parsed.problems:
                    self.stderr.write(str(problem))
                is_incomplete |= bool(parsed.problems)
                counts["not readable"] += parsed.unreadable
                task = bar.add_task(name, total=len(parsed.ledgers))
                try:
                    outcomes = load(
                        parsed.ledgers,
                        force=force,
                        ledger_date=ledger_date,
                        progress=lambda done, task=task: bar.advance(task, done),  # type: ignore[misc]
                    )
                except AnotherLoadError as error:
                    raise CommandError(f"{name}: {error}.") from None
                for loaded in outcomes:
                    self._report(loaded, is_verbose=options["verbosity"] > 1)
                counts.update(loaded.status for loaded in outcomes)
        summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none"
        self.stdout.write(f"Licenses: {summary}.")
        if is_incomplete or counts[Status.REFUSED]:
            raise CommandError("Not everything was loaded; see above.", returncode=1)

    def _report(self, loaded: Loaded, *, is_verbose: bool) -> None:
        place = f"{loaded.ledger.file}:{loaded.ledger.line}: license {loaded.ledger.license_number}"
        stream = self.stderr if loaded.status is Status.REFUSED else self.stdout
        if is_verbose or loaded.status in (Status.REFUSED, Status.OLDER):
            stream.write(f"{place}: {loaded.status}")
        for note in loaded.notes:
            stream.write(f"{place}: {note}")


def _date(text: str) -> date:
    try:
        when = datetime.strptime(text, "%d/%m/%Y").date()  # noqa: DTZ007 (a date has no timezone)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date; write it as DD/MM/YYYY") from None
    if when > business_date():
        raise ArgumentTypeError(f"{text} is still to come; say on which day the files were printed")
    return when
