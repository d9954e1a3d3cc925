"""What PostgreSQL's log tells of a storm: who waited for whom, and who deadlocked with whom.

Sessions are known by their application_name, which libpq takes from PGAPPNAME.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

SETTINGS = {
    "log_line_prefix": "'%p|%a|'",
    "log_connections": "on",
    "log_lock_waits": "on",
    "deadlock_timeout": "'20ms'",  # how long a wait must take to be told
}

_LINE = re.compile(r"(\d+)\|([^|]*)\|([A-Z]+):  (.*)")
_NAMED = re.compile(r"connection authorized: .*application_name=(.*)")
_WAITS = re.compile(r"process \d+ still waiting for (.*) after")
_HOLDERS = re.compile(r"Process(?:es)? holding the locks?: ([\d, ]+)\.")
_BLOCKED = re.compile(r"Process (\d+) waits for .*; blocked by process (\d+)\.")


@dataclass
class Told:
    """Sessions by their names, without numbers: a writer is `writer`."""

    waits: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Who waited for whom, so long that it was told."""
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    """For what, the first time."""
    deadlocks: Counter[tuple[str, ...]] = field(default_factory=Counter)


def read(lines: Iterable[str]) -> Told:
    reader = _Reader()
    for line in lines:
        if found := _LINE.match(line):
            reader.read(int(found[1]), found[2], found[3], found[4])
        else:
            reader.read_on(line)
    reader.end_deadlock()
    return reader.told


class _Reader:
    def __init__(self) -> None:
        self.told = Told()
        self._names: dict[int, str] = {}
        self._waits_for: dict[int, str] = {}
        self._deadlocked: set[int] = set()
        """Those of the deadlock whose detail is being read."""

    def read(self, pid: int, application: str, level: str, text: str) -> None:
        self.end_deadlock()
        if "connection authorized: " in text:  # the process id may have been another session's
            named = _NAMED.match(text)
            self._names[pid] = named[1].strip() if named else "nameless"
        elif application not in ("", "[unknown]"):
            self._names[pid] = application
        if waiting := _WAITS.match(text):
            self._waits_for[pid] = waiting[1]
        elif level == "DETAIL" and (holding := _HOLDERS.match(text)):
            for holder in map(int, holding[1].split(",")):
                pair = self._name(pid), self._name(holder)
                self.told.waits[pair] += 1
                self.told.examples.setdefault(pair, self._waits_for.get(pid, ""))
        elif level == "DETAIL":
            self.read_on(text)

    def read_on(self, text: str) -> None:
        """A line that may belong to the detail of a deadlock."""
        self._deadlocked |= {int(pid) for pids in _BLOCKED.findall(text) for pid in pids}

    def end_deadlock(self) -> None:
        if self._deadlocked:
            self.told.deadlocks[tuple(sorted(map(self._name, self._deadlocked)))] += 1
            self._deadlocked = set()

    def _name(self, pid: int) -> str:
        return re.sub(r" \d+$", "", self._names.get(pid, "unknown"))
