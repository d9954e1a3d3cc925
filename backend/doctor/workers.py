"""Whether workers answer and consume every queue, and whether beat is up."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery import current_app
from celery.app.control import Inspect
from django.conf import settings

from doctor import broker
from doctor.examination import DOORS, Finding, Level, Part, check

PAGE = "docs/celery.md#production"
ANSWER_SECONDS = 3.0
"""The longest that we wait for the next worker to answer."""
BEAT_SECONDS = 8.0
"""The longest that we wait for a sign of beat."""
LOOK_SECONDS = 0.5
NOBODY = ""
QUEUE_OF_BEAT = "webhooks"
START = "Start it: systemctl start"

_there: ContextVar[list[str] | None] = ContextVar("there", default=None)
"""The workers that answered the first question."""


@contextmanager
def connected() -> Iterator[None]:
    """To the broker; who is there is not known yet."""
    with broker.connected():
        _there.set(None)
        yield


for part in (Part.WORKERS, Part.BEAT):
    DOORS[part] = (broker.PAGE, connected)


def ask(question: str) -> dict[str, Any]:
    """What each worker says to one of Celery's questions (a method of its Inspect), over the connection of this thread.

    Nobody knows how many workers there are, so the first question takes its whole time; then those who answered are
    asked, and waited for no longer than all of them take. TimeoutError: one of them does not answer any more.
    """
    there = _there.get()
    if there == []:
        return {}
    inspect = Inspect(
        app=current_app,
        connection=broker.connection(),
        timeout=ANSWER_SECONDS,
        destination=there,  # of whom each is waited for, and nobody else
    )
    answers: dict[str, Any] = getattr(inspect, question)() or {}
    if silent := sorted(set(there or ()).difference(answers)):
        raise TimeoutError(f"{', '.join(silent)} answered before, and does not within {ANSWER_SECONDS:g} seconds now")
    _there.set(list(answers))
    return answers


@check(Part.WORKERS, PAGE)
def workers_answer_and_consume_every_queue() -> Iterator[Finding]:
    """At least one each."""
    answers = ask("active_queues")
    if not answers:
        yield Finding(
            "No worker answers: balances wait for the relay, nights and uploads wait for a worker",
            f"{START} celery-worker; its log says why it is not up. One that is busy at start answers in a moment",
        )
        return
    consumed = {queue["name"] for queues in answers.values() for queue in queues}
    for queue in settings.CELERY_TASK_QUEUES:
        if queue.name not in consumed:
            yield Finding(f"No worker consumes queue {queue.name}", f"Add it to the -Q of a worker: -Q …,{queue.name}")


@check(Part.WORKERS, "docs/upgrade.md")
def workers_run_this_code() -> Iterator[Finding]:
    """As far as their tasks tell: one that does not know a task drops its messages."""
    current_app.loader.import_default_modules()
    ours = {name for name in current_app.tasks if not name.startswith("celery.")}
    for worker, tasks in sorted(ask("registered").items()):
        if unknown := sorted(ours.difference(tasks)):
            yield Finding(
                f"Worker {worker} has older code than this: it does not know {', '.join(unknown)}, and drops it",
                "Restart it, from the checkout of this version",
            )


@check(Part.WORKERS, PAGE)
def workers_have_processes_enough() -> Iterator[Finding]:
    """While one is at the night, another must be there for recomputes."""
    stats = ask("stats")
    processes = sum(_processes(each) for each in stats.values())
    if processes == 1:
        yield Finding(
            "The workers have one process: while it is at a night or an upload, balances wait",
            "Give the worker --concurrency=2",
            Level.NOTE,
        )


@check(Part.BEAT, PAGE)
def beat_is_up() -> Iterator[Finding]:
    """Told by what it does: it alone asks for these tasks, each some seconds. Workers count what they begin; where
    none is up, its messages stay in the queue."""
    entries: list[Any] = [settings.CELERY_BEAT_SCHEDULE[name] for name in ("sweep", "webhooks")]
    period_seconds = min(entry["schedule"] for entry in entries)
    tasks = [entry["task"] for entry in entries]
    ends_at = time.monotonic() + min(period_seconds + 2, BEAT_SECONDS)
    first = now = _asked_for(tasks)
    while time.monotonic() < ends_at:
        time.sleep(LOOK_SECONDS)
        now = _asked_for(tasks)
        if any(now.get(who, 0) > count for who, count in first.items()):
            return
    if period_seconds + 2 > BEAT_SECONDS:
        yield Finding(
            f"Whether beat is up: it asks for something each {period_seconds:g} seconds, which is too long to wait",
            "Look at its log, or set SWEEP_SECONDS or WEBHOOK_SECONDS to 5",
            Level.UNKNOWN,
        )
    elif NOBODY not in now and _is_all_busy():
        yield Finding(
            "Whether beat is up: every process of the workers is busy, and begins nothing that it asks for",
            "Run the doctor again when they are done, or give the workers more processes",
            Level.UNKNOWN,
        )
    else:
        yield Finding(
            "Beat is not up: nobody looks for changes that nothing announced, and no night begins",
            f"{START} celery-beat; its log says why it is not up",
        )


def _asked_for(tasks: list[str]) -> dict[str, int]:
    """How often each worker has begun one of these; where there is none, how many messages wait in the queue that is
    beat's alone."""
    if stats := ask("stats"):
        return {who: sum(said["total"].get(task, 0) for task in tasks) for who, said in stats.items()}
    return {NOBODY: broker.redis().llen(QUEUE_OF_BEAT)}


def _is_all_busy() -> bool:
    processes = sum(_processes(each) for each in ask("stats").values())
    return 0 < processes <= sum(len(tasks) for tasks in ask("active").values())


def _processes(stats: dict[str, Any]) -> int:
    return int(stats.get("pool", {}).get("max-concurrency", 0))
