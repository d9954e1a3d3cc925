"""`manage.py freshness`"""

import json
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from reconcile.freshness import Freshness, look

MAX_AGE_SECONDS = 60


class Command(BaseCommand):
    """For people and for monitoring."""

    help = (
        "Says how far balances are behind their facts, now and in the last hour. "
        "Exit status: 0 fresh, 1 something is to be looked at, 2 it could not be told."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--max-age",
            type=_seconds,
            default=timedelta(seconds=MAX_AGE_SECONDS),
            metavar="SECONDS",
            help=f"a change may be pending for so long; default: {MAX_AGE_SECONDS}",
        )
        parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")

    def handle(self, *, max_age: timedelta, format: str, **_: Any) -> None:  # noqa: A002
        found = look()
        complaints = found.complaints(max_age)
        self.stdout.write(_json(found, complaints) if format == "json" else _table(found, complaints))
        if complaints:
            sys.exit(1)


def _json(found: Freshness, complaints: list[str]) -> str:
    return json.dumps(
        {
            "pending": found.pending,
            "oldest_age_ms": _ms(found.oldest_age),
            "recomputes_last_hour": found.recomputes,
            "latency_ms": {
                "median": _ms(found.median_latency),
                "p90": _ms(found.p90_latency),
                "p99": _ms(found.p99_latency),
            },
            "quarantined": found.quarantined,
            "relays": found.relays,
            "triggers": [asdict(fault) for fault in found.faults],
            "complaints": complaints,
        },
        indent=2,
    )


def _table(found: Freshness, complaints: list[str]) -> str:
    lines = [
        f"{found.pending} changes pending" + (f", the oldest for {_shown(found.oldest_age)}" if found.pending else ""),
        f"{found.recomputes} recomputes in the last hour"
        + (
            f": median {_shown(found.median_latency)} after the write, 90 % within {_shown(found.p90_latency)}, "
            f"99 % within {_shown(found.p99_latency)}"
            if found.recomputes
            else ""
        ),
        f"{found.quarantined} licenses in quarantine",
        f"{found.relays} relays up" + ("" if found.relays else ": raw SQL and bulk writes wait for the sweep"),
        f"{len(found.faults)} triggers at fault",
        *(f"! {complaint}" for complaint in complaints),
    ]
    return "\n".join(lines)


def _ms(age: timedelta | None) -> int | None:
    return None if age is None else age // timedelta(milliseconds=1)


def _shown(age: timedelta | None) -> str:
    ms = _ms(age) or 0
    return f"{ms} ms" if ms < 10_000 else f"{ms // 1000} s"


def _seconds(text: str) -> timedelta:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds, from 1 to 999999999")
    return timedelta(seconds=int(text))
