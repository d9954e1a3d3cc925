"""`manage.py doctor`"""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from doctor.examination import Examination, Level, examine

STATUS = {None: 0, Level.WRONG: 1, Level.UNKNOWN: 2}
MARKS = {Level.WRONG: "!", Level.UNKNOWN: "?", Level.NOTE: "·"}


class Command(BaseCommand):
    """For whoever installs this, or is called at night."""

    help = (
        "Says what is wrong with this installation, and what to do: settings, disks, PostgreSQL, its role and schema, "
        "balances and nights, broker, workers and beat, mail. It changes nothing, and takes "
        "some seconds, 30 where a server hangs. "
        "Exit status: 0 all is well, 1 something is wrong, 2 something could not be told."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")

    def handle(self, *, format: str, **_: Any) -> None:  # noqa: A002
        found = examine()
        self.stdout.write(_json(found) if format == "json" else _text(found))
        self.stdout.flush()
        if status := STATUS[found.status]:
            sys.exit(status)


def _json(found: Examination) -> str:
    return json.dumps(
        {
            "status": found.status or "well",
            "checks": [asdict(each) for each in found.made],
        },
        indent=2,
    )


def _text(found: Examination) -> str:
    lines = []
    told = set()
    for level in (Level.WRONG, Level.UNKNOWN, Level.NOTE):
        for each in found.made:
            for finding in each.findings or ():
                if finding.level == level and finding not in told:  # of a server that is away, one part has said it
                    told.add(finding)
                    lines += [
                        f"{MARKS[level]} {each.part}: {finding.what.rstrip('.')}.",
                        f"    {finding.do} ({each.page}).",
                    ]
    missed = Counter(each.part for each in found.made if each.findings is None)
    lines += [f"? {part}: {count} of its checks could not be made." for part, count in missed.items()]
    levels = Counter(finding.level for finding in told)
    said = ", ".join(
        f"{levels[level]} {level}{'s' if level == Level.NOTE and levels[level] > 1 else ''}"
        for level in Level
        if levels[level]
    )
    well = sum(1 for each in found.made if each.findings == [])
    lines.append(f"{well} of {len(found.made)} checks found nothing{': ' + said if said else ''}.")
    return "\n".join(lines)
