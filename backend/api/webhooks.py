"""Webhooks: the feed of balances, sent to programs by the Standard Webhooks specification.

Rows in PostgreSQL are the truth about what was sent; a message of Celery is a hint to look at them. Each webhook has a
position of its own, which a 2xx answer advances: at least once, in order. What is sent is settled before it is sent,
with its id, and stays the same at every try. One sender is at work at a time, whatever the number of workers: it has a
lease on the webhook, and no transaction is open while it waits for an answer
(docs/decisions/0019-feed-and-webhooks.md).
"""

import base64
import hashlib
import hmac
import json
import logging
import random
import re
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import BigIntegerField, F, Q, QuerySet, Value
from django.db.models.functions import Now
from django.utils import timezone
from ninja.responses import NinjaJSONEncoder

from api.following import FOLLOW, items
from api.models import Webhook, WebhookState
from api.schemas import Change
from ledger import feed
from license.about import about, named
from license.clock import INDIA

logger = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"  # noqa: S105 (the specification's)
MOST_CHANGES = 100
"""Of a message."""
ANSWER_SECONDS = 10.0
"""From looking up the host to the answer."""
RUN_SECONDS = 20.0
"""A run of the task begins nothing after this, and so ends within ANSWER_SECONDS more."""
LEASE_SECONDS = 60
"""Longer than one message takes."""
FIRST_RETRY_SECONDS = 5
LAST_RETRY_SECONDS = 3600
"""The pauses between tries double from the one to the other."""
STOPS_AFTER = timedelta(days=5)
MOST_SHOWN = 500
"""Bytes of an answer that are read: none of a success."""
REQUEST = "webhook request"
"""Its thread."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class RefusedError(Exception):
    """It cannot be a webhook. Says why and what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered, in words, or why it did not."""

    is_success: bool
    words: str


# ── What people do ────────────────────────────────────────────────────────────────────────────────────────────────────


def add(user: User, url: str, *, name: str = "", is_plain_allowed: bool = False) -> Webhook:
    """Send what changes from now on. Raises RefusedError."""
    if not may_follow(user):
        raise RefusedError(
            f"{user.username} may not follow balances: put her into a group that may, such as auditor or operator"
        )
    check(url, is_plain_allowed=is_plain_allowed)
    while feed.publish() == feed.AT_ONCE:
        pass
    return Webhook.objects.create(user=user, name=name, url=url, secret=_new_secret(), position=feed.newest())


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check(url: str, *, is_plain_allowed: bool = False) -> None:
    """Raises RefusedError where an address is none that changes are sent to."""
    example = "write it like https://erp.example/balances"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise RefusedError(f"{url!r} is no address: {example}") from None
    if not host or not re.fullmatch(r"[\x21-\x7e]{1,2000}", url) or parts.scheme not in ("http", "https"):
        raise RefusedError(f"{url!r} is no address: {example}")
    if parts.username is not None or parts.fragment:
        raise RefusedError("An address has no password and no # here: the signature says who sends")
    if parts.scheme == "http" and not is_plain_allowed and host not in LOOPBACK:
        raise RefusedError("Only https keeps balances from others: --plain-http says that they are sent without")


def may_follow(user: User) -> bool:
    """Whether changes may be sent for somebody."""
    return user.has_perms(FOLLOW)


def ping(webhook: Webhook) -> Answer:
    """Send a signed event without changes."""
    return _post(webhook, uuid4(), {"type": "ping", "timestamp": timezone.now(), "data": {}})


def rotate(webhook: Webhook) -> str:
    """Sign with a new secret from now on: which. What is refused until the receiver has it comes again."""
    secret = _new_secret()
    Webhook.objects.filter(pk=webhook.pk).update(secret=secret)
    return secret


def pause(webhook: Webhook) -> None:
    """Send nothing until somebody resumes it. A request that is on its way is not called back."""
    Webhook.objects.filter(pk=webhook.pk).update(state=WebhookState.PAUSED)


def resume(webhook: Webhook) -> None:
    """Go on at once where it stopped or was paused, or with what has failed."""
    Webhook.objects.filter(pk=webhook.pk).update(
        state=WebhookState.ACTIVE, attempts=0, failing_since=None, next_try_at=Now()
    )


def with_standing(rows: QuerySet[Webhook]) -> QuerySet[Any]:
    """With what `standing` tells of them."""
    return rows.annotate(
        newest=Value(feed.newest(), BigIntegerField()),
        is_held=~Q(pk__in=_for_whom_may(Webhook.objects.all()).values("pk")),
    ).select_related("user")


def standing(webhook: Any) -> str:
    """How one of `with_standing` stands, in words: whether it sends, what was answered last, when it is tried again."""
    if webhook.state == WebhookState.STOPPED:
        return f"stopped, since it failed from {_moment(webhook.failing_since)} on: {webhook.answer}"
    if webhook.state == WebhookState.PAUSED:
        return "paused"
    if webhook.is_held:
        return f"held, since {webhook.user.username} may not log in or not follow balances"
    if webhook.attempts:
        return (
            f"has failed {webhook.attempts} times since {_moment(webhook.failing_since)}, "
            f"next try {_moment(webhook.next_try_at)}: {webhook.answer}"
        )
    return f"active, {webhook.answer} {_moment(webhook.answered_at)}" if webhook.answered_at else "active"


def _moment(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment, INDIA):%d %b %Y %H:%M:%S} IST" if moment else ""


# ── What workers do ───────────────────────────────────────────────────────────────────────────────────────────────────


def send_due() -> int:
    """Send what is due, unless another sender is at it: how many requests. Costs a query where no webhook is due. Must
    not be called inside a transaction."""
    if not _due().exists():
        return 0
    feed.publish()
    ends_at = time.monotonic() + RUN_SECONDS
    sent = 0
    while time.monotonic() < ends_at and (taken := _take()):
        _send(*taken)
        sent += 1
    return sent


def _due() -> QuerySet[Webhook]:
    return _for_whom_may(Webhook.objects.filter(state=WebhookState.ACTIVE, next_try_at__lte=Now()))


def _for_whom_may(rows: QuerySet[Webhook]) -> QuerySet[Webhook]:
    for permission in FOLLOW:
        may = User.objects.with_perm(permission, backend="django.contrib.auth.backends.ModelBackend")  # and log in
        rows = rows.filter(user__in=may)
    return rows


def _take() -> tuple[Webhook, UUID, int] | None:
    """The webhook that waits longest for something to be sent, with the id of the message and its last position; None
    too while another sender has one."""
    with transaction.atomic(durable=True):
        all_of_them = Webhook.objects.select_for_update().order_by("pk")
        list(all_of_them.values_list("pk"))  # one looks at a time: the next one sees our lease
        if Webhook.objects.filter(leased_until__gt=Now()).exists():
            return None
        webhook = _due().filter(position__lt=feed.newest()).order_by("next_try_at", "pk").first()
        if webhook is None:
            return None
        message, until = webhook.message, webhook.message_until
        if message is None or until is None:
            message, until = uuid4(), int(feed.changes(webhook.position, MOST_CHANGES)[-1]["position"])
        webhook.lease = uuid4()
        Webhook.objects.filter(pk=webhook.pk).update(
            message=message,
            message_until=until,
            lease=webhook.lease,
            leased_until=Now() + timedelta(seconds=LEASE_SECONDS),
        )
        return webhook, message, until


def _send(webhook: Webhook, message: UUID, until: int) -> None:
    """What a sender says whose lease was over, and another has it, is not heard."""
    with about(webhook=webhook.pk):
        _send_one(webhook, message, until)


def _send_one(webhook: Webhook, message: UUID, until: int) -> None:
    ours = Webhook.objects.filter(pk=webhook.pk, lease=webhook.lease)
    answer = Answer(is_success=True, words="nothing of it was kept")
    if rows := feed.changes(webhook.position, MOST_CHANGES, until=until):
        data = {"items": _as_json(rows), "next": until}
        event = {"type": "balances.changed", "timestamp": rows[-1]["changed_at"], "data": data}
        answer = _post(webhook, message, event)
    told = {"answer": answer.words, "answered_at": Now(), "leased_until": None}
    if answer.is_success:
        ours.update(
            **told,
            position=until,
            message=None,
            message_until=None,
            attempts=0,
            failing_since=None,
            next_try_at=Now(),
        )
        numbers = sorted({row["license_number"] for row in rows if row["license_number"]})
        said = webhook, len(rows), until, named(numbers)
        logger.info("%s was sent %s changes, up to position %s: %s", *said, extra={"license": numbers})
        return
    since = webhook.failing_since or timezone.now()
    is_over = timezone.now() - since >= STOPS_AFTER
    is_ours = ours.update(
        **told,
        **({"state": WebhookState.STOPPED} if is_over else {}),
        attempts=F("attempts") + 1,
        failing_since=since,
        next_try_at=Now() + _pause(webhook.attempts),
    )
    if is_over and is_ours:
        logger.error(
            "%s is stopped, since it fails for %s days: %s. Nothing is lost: `manage.py webhooks resume %s` goes on.",
            webhook, STOPS_AFTER.days, answer.words, webhook.pk,
        )  # fmt: skip
    else:
        logger.warning("%s has failed, and is tried again: %s", webhook, answer.words)


def _as_json(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [Change.model_validate(item).model_dump() for item in items(rows)]


def _pause(attempts: int) -> timedelta:
    """After so many failures and one more: up to a quarter less, so that receivers do not meet all senders at once."""
    longest = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(attempts, 20))
    return timedelta(seconds=longest * random.uniform(0.75, 1))


# ── One request ───────────────────────────────────────────────────────────────────────────────────────────────────────


def signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """As the specification has it: `v1,` and the Base64 of HMAC-SHA256 over id, timestamp and body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


def _post(webhook: Webhook, message: UUID, event: dict[str, Any]) -> Answer:
    """Send an event, signed. Raises nothing of the network's, and takes no longer than ANSWER_SECONDS."""
    body = json.dumps(event, cls=NinjaJSONEncoder, ensure_ascii=False).encode()
    timestamp = int(timezone.now().timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "license-balances",
        "Connection": "close",
        "webhook-id": f"msg_{message.hex}",
        "webhook-timestamp": f"{timestamp}",
        "webhook-signature": signature(webhook.secret, f"msg_{message.hex}", timestamp, body),
    }
    return _Request(webhook.url).post(body, headers)


class _Request:
    """One request in a thread of its own, which is left to itself when its time is over: what receivers and resolvers
    do byte by byte has no end that a timeout of the socket would find."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = _Secure if parts.scheme == "https" else _Plain
        self._link = kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        answers: SimpleQueue[Answer] = SimpleQueue()
        ask = threading.Thread(target=lambda: answers.put(self._ask(body, headers)), name=REQUEST, daemon=True)
        ask.start()
        try:
            return answers.get(timeout=ANSWER_SECONDS)
        except Empty:
            self._link.give_up()
            return _silence()

    def _ask(self, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            self._link.request("POST", self._target, body, headers)
            answer = self._link.getresponse()
            words = _plain(f"{answer.status} {answer.reason}")
            if 200 <= answer.status < 300:
                return Answer(is_success=True, words=words)
            if 300 <= answer.status < 400:
                return Answer(is_success=False, words=f"{words}: a redirect, which is not followed")
            said = _plain(answer.read(MOST_SHOWN).decode(errors="replace"))
            return Answer(is_success=False, words=f"{words}: {said}" if said else words)
        except TimeoutError:
            return _silence()
        except (OSError, HTTPException, ValueError, AttributeError) as error:  # the last two: shut down while it reads
            return Answer(is_success=False, words=_plain(f"{type(error).__name__}: {error}"))
        finally:
            self._link.close()


def _silence() -> Answer:
    return Answer(is_success=False, words=f"It did not answer within {ANSWER_SECONDS:.0f} seconds")


def _plain(words: str) -> str:
    """A line, without what PostgreSQL keeps in no text."""
    return " ".join(words.replace("\0", " ").split())


class _Watched(HTTPConnection):
    """Can be given up from another thread, wherever it is."""

    is_given_up = False
    _open: socket.socket | None = None

    def connect(self) -> None:
        super().connect()
        self._open = self.sock
        if self.is_given_up:  # nothing is sent by one who was given up
            raise TimeoutError

    def give_up(self) -> None:
        self.is_given_up = True
        if self._open is not None:
            with suppress(OSError):  # it has just ended
                self._open.shutdown(socket.SHUT_RDWR)


class _Plain(_Watched):
    pass


class _Secure(_Watched, HTTPSConnection):
    pass
