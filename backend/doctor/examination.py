"""One look at an installation: every check there is, part by part, each part in a thread of its own.

A check is a small function that yields what it finds, `@check(Part.BROKER, "docs/celery.md")`. It may raise what its
server raises: then it could not be told. A part whose server is away says so once, and its checks are not made; one
whose server hangs is given up, and nobody waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum

from django.db import Error

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
"""For everything: about twice what a part waits by itself, for a machine that has just begun has much else to do."""


class Part(StrEnum):
    """Of an installation, in the order in which it is told."""

    SETTINGS = "settings"
    MACHINE = "this machine"
    DATABASE = "PostgreSQL"
    BALANCES = "balances"
    BROKER = "broker"
    WORKERS = "workers"
    BEAT = "beat"
    MAIL = "mail"


class Level(StrEnum):
    """How bad it is."""

    WRONG = "wrong"
    UNKNOWN = "could not be told"
    NOTE = "note"
    """Right as it is, for those who mean it so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and what to do: a line each."""

    what: str
    do: str
    level: Level = Level.WRONG


@dataclass(frozen=True, slots=True)
class Check:
    """A question to a part."""

    part: Part
    page: str
    """Of the documentation, with its anchor."""
    look: Callable[[], Iterable[Finding]]

    @property
    def name(self) -> str:
        """What it looks at, in words."""
        return self.look.__name__.replace("_", " ")


class AwayError(Exception):
    """A part cannot be asked anything."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


CHECKS: list[Check] = []
DOORS: dict[Part, tuple[str, Callable[[], AbstractContextManager[object]]]] = {}
"""What opens a part before its checks are made, and the page that tells of it. The block raises AwayError."""
AROUND: dict[Part, Callable[[], AbstractContextManager[object]]] = {}
"""What is around each check of a part."""


def check(part: Part, page: str) -> Callable[[Callable[[], Iterable[Finding]]], Callable[[], Iterable[Finding]]]:
    """Make a function a check."""

    def register(look: Callable[[], Iterable[Finding]]) -> Callable[[], Iterable[Finding]]:
        CHECKS.append(Check(part, page, look))
        return look

    return register


@dataclass(slots=True)
class Examined:
    """What came of one check."""

    part: Part
    name: str
    page: str
    findings: list[Finding] | None
    """None: it was not made."""


@dataclass(slots=True)
class Examination:
    """What came of all, in the order of the parts."""

    made: list[Examined] = field(default_factory=list)

    @property
    def status(self) -> Level | None:
        """WRONG: something is. UNKNOWN: nothing is known to be, and not everything could be told. None: all is well."""
        levels = {finding.level for each in self.made for finding in each.findings or ()}
        if Level.WRONG in levels:
            return Level.WRONG
        if Level.UNKNOWN in levels or any(each.findings is None for each in self.made):
            return Level.UNKNOWN
        return None


def examine(patience_seconds: float = PATIENCE_SECONDS) -> Examination:
    """Make every check. Takes no longer than that, whatever hangs."""
    made: dict[Part, list[Examined]] = {part: [] for part in Part}
    threads = {
        part: threading.Thread(target=_examine, args=(part, made[part]), name=f"doctor: {part}", daemon=True)
        for part in Part
    }
    ends_at = time.monotonic() + patience_seconds
    for thread in threads.values():
        thread.start()
    whole = Examination()
    for part, thread in threads.items():
        thread.join(max(0, ends_at - time.monotonic()))
        done = list(made[part])  # the thread may go on
        if thread.is_alive():
            what = f"{_name(part)} has not answered within {patience_seconds:g} seconds"
            do = "Something hangs: look at its log, and at the network between"
            done.append(Examined(part, "answers", DOORS[part][0] if part in DOORS else "", [Finding(what, do)]))
        whole.made += done
        there = {each.name for each in done}
        whole.made += [
            Examined(part, each.name, each.page, None)
            for each in CHECKS
            if each.part == part and each.name not in there
        ]
    return whole


def _examine(part: Part, made: list[Examined]) -> None:
    page, door = DOORS.get(part, ("", _Open))
    try:
        with door():
            made.extend(Examined(part, each.name, each.page, _findings(each)) for each in CHECKS if each.part == part)
    except AwayError as away:
        made.append(Examined(part, "is there", page, [away.finding]))


def _findings(check: Check) -> list[Finding]:
    try:
        with AROUND.get(check.part, _Open)():
            return list(check.look())
    except Exception as error:  # of a database, a broker, a mail server: whatever it is, the others go on
        logger.debug("%s", check.name, exc_info=True)
        is_refused = isinstance(error, Error) and getattr(error.__cause__, "sqlstate", "") == "42501"
        do = (
            "Run deploy/roles.sql, or the doctor with the DATABASE_URL of a role that may, such as license_worker"
            if is_refused
            else "Run the doctor again; if it stays, the log of that server says more"
        )
        said = " ".join(str(error).split()) or "no more is known"
        return [Finding(f"{check.name}: {type(error).__name__}: {said}", do, Level.UNKNOWN)]


def _name(part: Part) -> str:
    servers = {
        Part.SETTINGS: "A check of settings",
        Part.MACHINE: "A disk of this machine",
        Part.DATABASE: "PostgreSQL",
        Part.BALANCES: "PostgreSQL",
        Part.BROKER: "The broker",
        Part.WORKERS: "The broker, or a worker behind it,",
        Part.BEAT: "The broker, or a worker behind it,",
        Part.MAIL: "The mail server",
    }
    return servers[part]


class _Open:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
