"""The log as JSON lines (LOG_FORMAT=json): docs/monitoring.md lists the keys. As text it is Celery's and Django's."""

import json
import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from celery._state import get_current_task  # as Celery's own formatter
from celery.signals import after_setup_logger, after_setup_task_logger
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from license.about import subject

HEADER = "X-Request-ID"
MOST_CHARACTERS = 10_000
"""Of a message, and of a traceback: collectors of logs cut or drop what is much longer."""
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


class JsonLines(logging.Formatter):
    """One object a line. Whatever a message holds, it breaks no line."""

    def format(self, record: logging.LogRecord) -> str:
        """What does not apply is left out."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:MOST_CHARACTERS],
            **_of_task(),
            **_of_request(record),
            **subject(),
        }
        if numbers := record.__dict__.get("license"):
            said["license"] = numbers
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)[-MOST_CHARACTERS:]  # its end says what it was
        line = json.dumps(said, ensure_ascii=False, default=str)
        return line.encode(errors="backslashreplace").decode()  # half a character, as names of files may have


class Requests:
    """Middleware: each request has an id, the proxy's or a new one, by which its lines are found."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer tells the id, for who reports a fault."""
        given = request.headers.get(HEADER, "")
        request.id = given if re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII) else uuid4().hex  # type: ignore[attr-defined]
        token = _request.set(request)
        try:
            response = self.get_response(request)
        finally:
            _request.reset(token)
        response.headers[HEADER] = request.id  # type: ignore[attr-defined]
        return response


def write_json() -> None:
    """Have Celery's processes write it too: to where and from which level on, its options say."""
    for signal in (after_setup_logger, after_setup_task_logger):
        signal.connect(_format, dispatch_uid="monitor.log")


def _format(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.setFormatter(JsonLines())


def _of_task() -> dict[str, str]:
    task: Any = get_current_task()
    return {} if task is None or task.request.id is None else {"task": task.name, "task_id": task.request.id}


def _of_request(record: logging.LogRecord) -> dict[str, str]:
    """The user only if somebody has asked who it is: a line of the log asks the database nothing. What Django says of
    an answer it says when the middleware is through, with the request."""
    request: Any = _request.get() or getattr(record, "request", None)
    if not hasattr(request, "id"):
        return {}
    said = {"request_id": request.id, "method": request.method or "", "path": request.path}
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject):
        user = getattr(request, "_cached_user", None)
    if user is not None and user.is_authenticated:
        said["user"] = user.get_username()
    return said
