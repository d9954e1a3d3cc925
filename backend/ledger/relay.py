"""Finds changes that no signal announced, and sees to them: raw SQL, bulk writes, lost messages.

It looks at the outbox a few times a second, more often while something is there. A few changes it works off at once, by
itself: to hand them over takes longer. Of more it tells a worker, by one message that asks to look at everything,
whatever the number of changes; and at every look again, until they are few, since each message brings another process
to them. What nobody works off soon after, and everything while the broker is away, it works off too.

While the outbox is quiet it sleeps instead, and a writer's trigger wakes it by NOTIFY (sql/wake_relay.sql). NOTIFY is
spared while it is awake, so it costs busy writers nothing (docs/decisions/0008-relay.md).

Any number may run: what one has handed over, another finds gone, or hands over once more.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection

from ledger import engine
from ledger.sql import queries
from license import schema
from license.queries import backend_of

logger = logging.getLogger(__name__)

BUSY_SECONDS = 0.03
"""The shortest between two looks while nothing new is there: writers are under way, or what is there is busy."""
HANDED_SECONDS = 0.1
"""After many changes were handed over: a worker needs a moment."""
QUIET_SECONDS = 0.25
"""The longest between two looks while nothing new is there."""
CALM_SECONDS = 0.5
"""So long after there were many changes it stays awake: their writers write on, mostly, and need not notify."""
SLEEP_SECONDS = 5.0
"""The longest sleep: then it looks, woken or not."""
PATIENCE_SECONDS = 1.0
"""How long the same change may be the oldest; then the relay works everything off.

Workers take the oldest first. So where there is one, the oldest is another one after each of its batches, however many
changes wait and however fast writers add to them: the relay leaves them alone. Where there is none, or none that is
told, or where it is busy, the oldest stays."""
RETRY_SECONDS = 60.0
"""Between two tries of the quarantined licenses that are due. Beat's sweep tries them too, where there is one."""
BROKER_PAUSE_SECONDS = 5.0
"""How long a broker is let alone that failed, or whose messages no worker takes: they stay there, one on another."""
FEW = 50
"""So many changes it works off by itself: no more than one batch."""
SESSION_ASKED = 20
"""How often we ask whose a session is. A pooler hands it to who asks next, mostly, but not where others are busy."""
SHARED = "DATABASE_URL leads the relay through a pooler that shares its session; it needs one that goes past it"


@dataclass(slots=True)
class Relay:
    """One relay. `look` does one look, and says how long to wait before the next.

    `hand_over` sends one message and raises nothing: False where the broker did not take it. With `is_sleepy` False it
    never sleeps, and so no writer ever notifies.
    """

    hand_over: Callable[[], bool]
    is_sleepy: bool = True
    is_to_end: bool = False
    clock: Callable[[], float] = time.monotonic  # not money: seconds
    _seen: set[int] = field(default_factory=set)
    """What was there when it last worked. What is left of that is busy, or being worked at."""
    _oldest: int | None = None
    _oldest_since: float = 0  # not money: seconds
    """Since when it is the oldest, or was last worked at."""
    _broker_rests_until: float = 0  # not money: seconds
    _awake_until: float = 0  # not money: seconds
    _retries_at: float = 0  # not money: seconds
    _wait_seconds: float = BUSY_SECONDS
    _is_asleep: bool = False

    def arrive(self) -> None:
        """Begin with a new connection: look at everything once, whatever was known. ImproperlyConfigured: it has
        no session of its own; so says `look`. OutdatedError: the database is behind this code."""
        schema.refuse_outdated()
        _check_session()
        queries.execute("relay_arrives")
        self._is_asleep = False
        self._wait_seconds = BUSY_SECONDS
        self._work()

    def look(self) -> float:  # not money: seconds
        """Look at the outbox once, and do what is to be done. How many seconds to wait, or to be asleep."""
        self._wake()
        if self.clock() >= self._retries_at:
            engine.recompute(engine.due_for_retry())
            self._retries_at = self.clock() + RETRY_SECONDS
        there = _newest()
        if not there <= self._seen:
            self._wait_seconds = BUSY_SECONDS
        if 0 < len(there) <= FEW:
            engine.drain(is_short=True)
            self._seen, there = there, _newest()
            if not there <= self._seen:
                return 0
        elif there and self._is_out_of_patience():
            self._work()
            if queries.column("oldest_change") != [self._oldest]:  # else it is busy, and says nothing of workers
                self._broker_rests_until = self.clock() + BROKER_PAUSE_SECONDS
        elif not there <= self._seen:
            self._awake_until = self.clock() + CALM_SECONDS
            self._relay()
            return HANDED_SECONDS
        if self.is_sleepy and not there and self.clock() >= self._awake_until:
            [self._is_asleep] = queries.column("relay_sleeps")  # unless somebody writes just now
            if self._is_asleep:  # what was committed before it had the lock wakes nobody
                return 0 if _newest() else SLEEP_SECONDS
        waits = self._wait_seconds
        self._wait_seconds = min(2 * waits, QUIET_SECONDS)
        return waits

    def _wake(self) -> None:
        if self._is_asleep and queries.column("relay_wakes") != [True]:  # another session has the lock, and keeps it
            raise ImproperlyConfigured(SHARED)
        self._is_asleep = False

    def _is_out_of_patience(self) -> bool:
        """Whether nobody works from the oldest change on."""
        [oldest] = queries.column("oldest_change")
        if oldest != self._oldest:
            self._oldest, self._oldest_since = oldest, self.clock()
        return oldest is not None and self.clock() - self._oldest_since > PATIENCE_SECONDS

    def _relay(self) -> None:
        """Hand over whatever there is."""
        if self.clock() >= self._broker_rests_until:
            if self.hand_over():
                return
            self._broker_rests_until = self.clock() + BROKER_PAUSE_SECONDS
        self._work()

    def _work(self) -> None:
        self._seen = _newest()
        outcome = engine.sweep()
        self._oldest_since = self.clock()
        self._retries_at = self._oldest_since + RETRY_SECONDS
        if outcome.changes or outcome.recomputed:
            logger.info("worked off %s changes of %s licenses", outcome.changes, outcome.recomputed)


def _newest() -> set[int]:
    """All that is there, if it is little."""
    return set(queries.column("newest_changes", at_most=FEW + 1))


def run(relay: Relay) -> None:
    """Look until it is to end. A lost connection, or a database that refuses, is waited for, and everything is looked
    at again."""
    is_there, pause_seconds = False, BUSY_SECONDS
    while not relay.is_to_end:
        try:
            if not is_there:
                connection.close()
                relay.arrive()
                is_there, pause_seconds = True, BUSY_SECONDS
                logger.info("the relay is up")
            _wait(relay.look())
        except Error as error:
            logger.warning("the relay starts again: %s", str(error).partition("\n")[0])
            is_there = False
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, SLEEP_SECONDS)


def _check_session() -> None:
    """A pooler that hands sessions round would lose what wakes us, and keep our locks when we are gone."""
    mine = backend_of(connection)
    other = connection.copy()
    try:
        if any(backend_of(other) == mine or backend_of(connection) != mine for _ in range(SESSION_ASKED)):
            raise ImproperlyConfigured(SHARED)
    finally:
        other.close()


def _wait(seconds: float) -> None:  # not money: seconds
    """Wait, or until a writer notifies."""
    with connection.wrap_database_errors:
        list(connection.connection.notifies(timeout=seconds, stop_after=1))
