"""Who writes: said to PostgreSQL with the very statement, so that the trail of facts can tell (ledger/trail.py).

A comment before each statement that may write to a table of ours: `/*by {"user": "asha", "via": "POST /entry/…"}*/`. It
is no setting of the session: those are left behind where a pooler shares sessions, and would name somebody else.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from psycopg.sql import Composable

Actor = Callable[[], tuple[str, str]]
"""User name, empty where nobody has logged in, and through what: `POST /entry/…`, `manage.py import_icegate`."""

_WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|TRUNCATE)\b", re.IGNORECASE)
_OURS = re.compile(r"\b(?:license|ledger)_", re.IGNORECASE)
_MOST = 200
_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)


@contextmanager
def acting(user: str = "", *, via: str = "") -> Iterator[None]:
    """What this thread writes within is written by this user, and through that. What is said further out is not said
    any more."""
    with _acting(lambda: (user, via)):
        yield


def act(*, via: str) -> None:
    """The same until somebody else acts: for a process that does one thing after the other."""
    _actor.set(lambda: ("", via))


@contextmanager
def _acting(actor: Actor) -> Iterator[None]:
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


class Acting:
    """Middleware: what a request writes is written by whoever has logged in, by password or by token."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Who it is is only asked when something is written: by then the page has asked, too."""
        with _acting(lambda: (request.user.get_username(), f"{request.method} {request.path}")):
            return self.get_response(request)


def connect() -> None:
    """Have every connection say who writes."""
    connection_created.connect(_listen, dispatch_uid="ledger.acting")


def _listen(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _say not in connection.execute_wrappers:
        connection.execute_wrappers.append(_say)


def _say(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    actor = _actor.get()
    if actor is not None:
        if isinstance(sql, Composable):
            sql = sql.as_string(context["connection"].connection)
        if isinstance(sql, str) and (found := _WRITES.search(sql)) and _OURS.search(sql, found.end()):
            sql = comment(*actor()) + sql
    return execute(sql, params, many, context)


def comment(user: str, via: str) -> str:
    """The comment: it holds no `*`, so nothing that a person or a program calls itself ends it, and none of the other
    characters that would mean something to PostgreSQL or its driver."""
    said = json.dumps({"user": _text(user), "via": _text(via)})
    return "/*by {}*/ ".format(re.sub(r"[*/%]", lambda found: f"\\u{ord(found[0]):04x}", said))


def _text(said: str) -> str:
    """As much of it as PostgreSQL has as text: no NUL, and no half of a pair."""
    return said[:_MOST].replace("\0", "").encode("utf-8", "replace").decode()
