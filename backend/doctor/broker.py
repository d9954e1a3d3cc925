"""Whether Redis is as Celery needs it, and whether messages are taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from celery import current_app
from django.conf import settings
from kombu import Connection

from doctor.database import clock_finding
from doctor.examination import DOORS, AwayError, Finding, Level, Part, check

PAGE = "docs/operations.md#broker"
OLDEST = (6, 2)
MOST_MESSAGES = 1_000
"""That may wait in a queue: a worker takes some hundreds a second."""
MOST_USED_PERCENT = 90

_connection: ContextVar[Connection] = ContextVar("connection")
_redis: ContextVar[Any] = ContextVar("redis")


@contextmanager
def connected() -> Iterator[None]:
    """To the broker, with the address and the limits that workers use."""
    # two: in the midst of waiting for an answer, a client of kombu's can be asked nothing else
    with current_app.connection_for_read() as connection, current_app.connection_for_read() as other:
        try:
            other.ensure_connection(max_retries=1, timeout=2)
            channel: Any = other.default_channel
            channel.client.ping()
        except Exception as error:  # noqa: BLE001 (kombu's, redis' and the socket's errors have no common base)
            raise AwayError(_away(connection, " ".join(str(error).split()))) from None
        _connection.set(connection)
        _redis.set(channel.client)
        yield


def _away(connection: Connection, why: str) -> Finding:
    """It need not keep messages (PostgreSQL has the outbox), but where it is to keep them and cannot, it refuses even
    a PING."""
    if "MISCONF" in why:
        return Finding(
            "Redis cannot write to its disk, and so refuses messages (MISCONF)",
            "Free its disk, or let it keep nothing (CONFIG SET save ''): messages are only hints, and need not be kept",
        )
    return Finding(
        f"The broker at {connection.as_uri()} cannot be reached: {why}",
        "Start Redis, or correct CELERY_BROKER_URL; until then the relay does the work, without nights",
    )


DOORS[Part.BROKER] = (PAGE, connected)


def connection() -> Connection:
    """The one of this thread."""
    return _connection.get()


def redis() -> Any:
    """The client of this thread: kombu's own."""
    return _redis.get()


@check(Part.BROKER, PAGE)
def version_of_redis() -> Iterator[Finding]:
    """What kombu speaks to."""
    version: str = redis().info("server")["redis_version"]
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        yield Finding(
            f"This is Redis {version}; nothing before {'.'.join(map(str, OLDEST))} is tried", "Move to a newer Redis"
        )


@check(Part.BROKER, PAGE)
def memory_of_redis() -> Iterator[Finding]:
    """What Redis forgets when it is full, and how full it is."""
    memory = redis().info("memory")
    most, used, policy = int(memory["maxmemory"]), int(memory["used_memory"]), memory["maxmemory_policy"]
    if policy != "noeviction":
        forgets_queues = policy.startswith("allkeys")  # the others take what has an end of its own: results have
        yield Finding(
            f"Redis forgets {'messages and queues' if forgets_queues else 'results'} when it is full "
            f"(maxmemory-policy {policy})",
            "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
            Level.WRONG if most and forgets_queues else Level.NOTE,
        )
    if most and used * 100 > most * MOST_USED_PERCENT:
        yield Finding(
            f"Redis has used {used * 100 // most} % of its memory: when it is full, workers end",
            "Is a worker up? Else raise maxmemory; what fills it, redis-cli --bigkeys tells",
        )


@check(Part.BROKER, PAGE)
def redis_takes_writes() -> Iterator[Finding]:
    """That its disk takes its data is seen at the door: else it would refuse to speak at all."""
    if redis().info("replication")["role"] != "master":
        yield Finding("This Redis is a replica: it takes no messages", "Point CELERY_BROKER_URL to its master")


@check(Part.BROKER, PAGE)
def clients_of_redis() -> Iterator[Finding]:
    """How many more may come."""
    clients = redis().info("clients")
    used, most = int(clients["connected_clients"]), int(clients.get("maxclients", 0))
    if most and used * 100 > most * MOST_USED_PERCENT:
        yield Finding(f"{used} of {most} clients of Redis are there: soon it refuses one", "Raise maxclients")


@check(Part.BROKER, PAGE)
def clock_of_redis() -> Iterator[Finding]:
    """By it kombu gives messages back that a dead worker held."""
    yield from clock_finding("the broker", lambda: datetime.fromtimestamp(redis().time()[0], UTC))


@check(Part.BROKER, "docs/celery.md#troubleshooting")
def messages_are_taken() -> Iterator[Finding]:
    """From each queue; and what workers have taken they get to."""
    client = redis()
    for queue in settings.CELERY_TASK_QUEUES:
        waiting = client.llen(queue.name)
        if waiting > MOST_MESSAGES:
            yield Finding(
                f"{waiting:,} messages wait in queue {queue.name}",
                f"Is a worker up that consumes it (-Q …,{queue.name})? If one is and gets on, wait",
            )
    held = client.hlen("unacked")
    if held > MOST_MESSAGES:
        yield Finding(
            f"Workers hold {held:,} messages that they have not begun",
            "Restart the workers; what dead ones held comes back within an hour, and is too old by then",
        )


@check(Part.BROKER, "docs/configuration.md")
def results_are_kept() -> Iterator[Finding]:
    """Where CELERY_RESULT_BACKEND says, if that is another Redis."""
    if settings.CELERY_RESULT_BACKEND != settings.CELERY_BROKER_URL:
        client = getattr(current_app.backend, "client", None)
        try:
            if client is not None:
                client.ping()
        except Exception as error:  # noqa: BLE001 (redis' and the socket's)
            yield Finding(
                f"Results cannot be kept: {' '.join(str(error).split())}",
                "Start that Redis, or correct CELERY_RESULT_BACKEND; or set it to django-db",
            )
