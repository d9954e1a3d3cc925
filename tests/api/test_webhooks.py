"""Changes are sent to whoever wants them: signed, in order, at least once, whatever the receiver does."""

import logging
import re
import threading
from collections.abc import Generator
from datetime import timedelta
from io import StringIO
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api import webhooks
from api.models import Webhook
from api.tasks import send_webhooks
from django_setup import CHECKOUT
from embedded.server import find_free_port
from ledger import feed
from ledger.engine import drain, recompute
from ledger.models import BalanceHistory
from tests.api.conftest import As
from tests.api.receiver import Receiver
from tests.conftest import sql
from tests.engine.sessions import make_licenses, wait_until

pytestmark = pytest.mark.usefixtures("erp")


@pytest.fixture
def erp(as_one_of: As) -> Generator[User]:
    """A program of an auditor's, which no balance has changed for yet."""
    as_one_of("auditor")
    yield User.objects.get()
    Webhook.objects.all().delete()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """What it got was signed, and no transaction was open meanwhile."""
    receiver = Receiver()
    with receiver.up():
        yield receiver
    assert (receiver.wrong, receiver.open_transactions) == ([], 0)


@pytest.fixture
def webhook(erp: User, receiver: Receiver) -> Webhook:
    webhook = webhooks.add(erp, receiver.url)
    receiver.secret = webhook.secret
    return webhook


def change(*license_ids: int) -> None:
    """One row of history for each."""
    sql("UPDATE license_exportitem SET cif_fc = cif_fc + 1 WHERE license_id = ANY(%s)", list(license_ids))
    for license_id in license_ids:
        recompute([license_id])


def now_due() -> None:
    sql("UPDATE api_webhook SET next_try_at = now()")


# ── What is sent ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_signature_is_that_of_the_specification() -> None:
    signed = webhooks.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_documented_way_to_check_a_signature(webhook: Webhook, receiver: Receiver) -> None:
    [written] = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs/api.md").read_text(encoding="utf-8"), re.DOTALL)
    said: dict[str, Any] = {}
    exec(written, said)  # noqa: S102
    webhooks.ping(webhook)
    [(headers, body)] = receiver.raw
    assert said["is_ours"](headers, body, webhook.secret)
    assert not said["is_ours"](headers, body + b" ", webhook.secret)
    assert not said["is_ours"](headers, body, webhooks.SECRET_PREFIX + "AAAA")
    assert not said["is_ours"](headers | {"webhook-id": "msg_other"}, body, webhook.secret)
    old = f"{int(headers['webhook-timestamp']) - 301}"
    signed = webhooks.signature(webhook.secret, headers["webhook-id"], int(old), body)
    assert not said["is_ours"](headers | {"webhook-timestamp": old, "webhook-signature": signed}, body, webhook.secret)


def test_what_changes_is_sent_in_order_and_once(
    webhook: Webhook, receiver: Receiver, as_one_of: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_CHANGES", 2)
    assert webhooks.send_due() == 0
    make_licenses(3)
    change(1, 2, 3)
    assert webhooks.send_due() == 2
    assert receiver.positions == [[1, 2], [3]]
    assert len(set(receiver.ids)) == 2
    pulled = as_one_of("auditor").get("/changes", after=0).json()["items"]
    (_, first), (_, second) = receiver.got
    assert first["data"]["items"] + second["data"]["items"] == pulled
    assert (first["type"], first["data"]["next"], first["timestamp"]) == (
        "balances.changed", 2, pulled[1]["changed_at"],
    )  # fmt: skip
    assert webhooks.send_due() == 0
    webhook.refresh_from_db()
    assert (webhook.position, webhook.answer, webhook.message) == (3, "200 OK", None)


def test_what_was_before_it_is_not_sent(erp: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 2)
    make_licenses(3)
    change(1, 2, 3)
    receiver.secret = webhooks.add(erp, receiver.url).secret
    change(1)
    webhooks.send_due()
    assert receiver.positions == [[4]]


def test_after_a_failure_the_same_is_sent_again_before_all_else(webhook: Webhook, receiver: Receiver) -> None:
    make_licenses(2)
    change(1)
    receiver.answers = [503, 500]
    assert webhooks.send_due() == 1
    webhook.refresh_from_db()
    assert (webhook.position, webhook.attempts, webhook.answer) == (0, 1, "503 Service Unavailable")
    change(2)
    assert webhooks.send_due() == 0  # it is not due
    now_due()
    assert webhooks.send_due() == 1
    now_due()
    assert webhooks.send_due() == 2
    assert receiver.positions == [[1], [1], [1], [2]]
    assert len(set(receiver.ids[:3])) == 1
    assert receiver.ids[3] not in receiver.ids[:3]
    webhook.refresh_from_db()
    assert (webhook.position, webhook.attempts, webhook.failing_since) == (2, 0, None)


def test_pauses_grow_up_to_an_hour(webhook: Webhook, receiver: Receiver) -> None:
    make_licenses(1)
    change(1)
    for attempts, longest in ((0, 5), (1, 10), (3, 40), (9, 2560), (10, 3600), (400, 3600)):
        receiver.answers = [500]
        Webhook.objects.update(attempts=attempts)
        now_due()
        before = timezone.now()
        webhooks.send_due()
        webhook.refresh_from_db()
        pause = webhook.next_try_at - before
        assert timedelta(seconds=longest * 0.75) <= pause <= timedelta(seconds=longest) + (timezone.now() - before)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("hang", "It did not answer within 0 seconds"),
        ("drip", "It did not answer within 0 seconds"),
        ("redirect", "302 Found: a redirect, which is not followed"),
        ("megabytes", "500 Internal Server Error: no no"),
        (404, "404 Not Found"),
    ],
)
def test_a_bad_receiver_is_a_failure(
    how: int | str, says: str, webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how in ("hang", "drip"):
        monkeypatch.setattr(webhooks, "ANSWER_SECONDS", 0.3)
    make_licenses(1)
    change(1)
    receiver.answers = [how]
    assert webhooks.send_due() == 1
    webhook.refresh_from_db()
    assert (webhook.position, webhook.attempts, webhook.leased_until) == (0, 1, None)
    assert webhook.answer.startswith(says)
    assert len(webhook.answer) < 600
    wait_until(lambda: all(thread.name != webhooks.REQUEST for thread in threading.enumerate()), "it is let go")
    monkeypatch.undo()
    now_due()
    assert webhooks.send_due() == 1
    wait_until(lambda: receiver.positions == [[1], [1]], "it is sent again")


def test_a_receiver_that_is_not_there_or_speaks_no_tls_is_a_failure(erp: User, receiver: Receiver) -> None:
    for url in (f"http://127.0.0.1:{find_free_port()}/", receiver.url.replace("http:", "https:")):
        webhooks.add(erp, url)
    make_licenses(1)
    change(1)
    assert webhooks.send_due() == 2
    refused, plain = Webhook.objects.order_by("pk").values_list("answer", flat=True)
    assert refused.startswith("ConnectionRefusedError: ")
    assert plain.startswith("SSLError: ")
    assert receiver.got == []


def test_it_is_sent_only_while_its_person_may_follow(webhook: Webhook, erp: User, receiver: Receiver) -> None:
    make_licenses(2)
    change(1)
    User.objects.update(is_active=False)
    assert webhooks.send_due() == 0
    User.objects.update(is_active=True)
    erp.groups.set(Group.objects.filter(name="viewer"))
    assert webhooks.send_due() == 0
    change(2)
    erp.groups.set(Group.objects.filter(name="operator"))
    assert webhooks.send_due() == 1
    assert receiver.positions == [[1, 2]]


# ── Who sends ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_a_thread(*, of: Receiver) -> threading.Thread:
    """A sender whose receiver hangs."""

    def run() -> None:
        webhooks.send_due()
        connection.close()

    of.answers = ["hang"]
    sender = threading.Thread(target=run)
    sender.start()
    wait_until(lambda: of.got, "it is received")
    return sender


def test_one_sender_is_at_work_at_a_time(webhook: Webhook, erp: User, receiver: Receiver) -> None:
    other = webhooks.add(erp, receiver.url)
    Webhook.objects.filter(pk=other.pk).update(secret=webhook.secret)
    make_licenses(1)
    change(1)
    sender = in_a_thread(of=receiver)
    assert webhooks.send_due() == 0  # nothing for the other webhook either
    receiver.may_go_on.set()
    sender.join()
    assert receiver.positions == [[1], [1]]
    assert len(set(receiver.ids)) == 2
    assert list(Webhook.objects.values_list("position", flat=True)) == [1, 1]


def test_what_a_dead_sender_had_is_sent_again_when_its_lease_is_over(webhook: Webhook, receiver: Receiver) -> None:
    make_licenses(1)
    change(1)
    sender = in_a_thread(of=receiver)
    sql("UPDATE api_webhook SET leased_until = now()")
    assert webhooks.send_due() == 1
    receiver.answers = [500]
    change(1)
    webhooks.send_due()
    receiver.may_go_on.set()  # it was not dead, but slow: what it says now is old
    sender.join()
    assert receiver.positions == [[1], [1], [2]]
    assert receiver.ids[0] == receiver.ids[1]
    webhook.refresh_from_db()
    assert (webhook.position, webhook.attempts) == (1, 1)


def test_a_run_ends_however_much_there_is(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_CHANGES", 1)
    clock = count(0, 9)
    monkeypatch.setattr(webhooks, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    make_licenses(5)
    change(1, 2, 3, 4, 5)
    assert webhooks.send_due() == 2
    assert receiver.positions == [[1], [2]]


def test_a_look_costs_a_query_where_nothing_is_due(webhook: Webhook) -> None:
    make_licenses(1)
    change(1)
    Webhook.objects.update(next_try_at=timezone.now() + timedelta(hours=1))
    with CaptureQueriesContext(connection) as queries:
        assert webhooks.send_due() == 0
    assert len(queries) == 1
    Webhook.objects.all().delete()
    with CaptureQueriesContext(connection) as queries:
        send_webhooks()
    assert len(queries) == 1
    assert BalanceHistory.objects.filter(position=None).exists()


def test_beat_sends_it_to_a_queue_of_its_own() -> None:
    assert current_app.amqp.router.route({}, send_webhooks.name)["queue"].name == "webhooks"
    [entry] = [each for each in settings.CELERY_BEAT_SCHEDULE.values() if each["task"] == send_webhooks.name]
    assert entry["schedule"] == entry["options"]["expires"] == settings.WEBHOOK_SECONDS
    assert [queue.name for queue in settings.CELERY_TASK_QUEUES][-1] == "webhooks"


# ── The end, and going on ─────────────────────────────────────────────────────────────────────────────────────────────


def test_after_five_days_it_stops_and_goes_on_where_it_was(
    webhook: Webhook, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    make_licenses(2)
    change(1)
    receiver.answers = [500, 500]
    webhooks.send_due()
    sql("UPDATE api_webhook SET failing_since = failing_since - interval '4 days 23 hours', next_try_at = now()")
    receiver.answers = [500]
    webhooks.send_due()
    assert run("list")[1] == 0
    sql("UPDATE api_webhook SET failing_since = failing_since - interval '1 hour', next_try_at = now()")
    receiver.answers = [500]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    webhooks.send_due()
    assert caplog.records[-1].levelno == logging.ERROR
    assert f"webhooks resume {webhook.pk}" in caplog.text
    now_due()
    change(2)
    assert webhooks.send_due() == 0
    said, status = run("list")
    assert ("stopped" in said, "500 Internal Server Error" in said, status) == (True, True, 1)

    assert run("resume", f"{webhook.pk}") == (f"webhook {webhook.pk} goes on after change 0\n", 0)
    assert webhooks.send_due() == 2
    assert receiver.positions == [[1], [1], [1], [1], [2]]
    assert len(set(receiver.ids[:4])) == 1
    assert "active, 200 OK" in run("list")[0]


def test_who_paused_it_decides_when_it_goes_on(webhook: Webhook, receiver: Receiver) -> None:
    make_licenses(1)
    change(1)
    receiver.answers = [500]
    feed.publish()
    taken = webhooks._take()
    assert taken
    assert run("pause", f"{webhook.pk}")[0].endswith("`resume` goes on after change 0\n")
    webhooks._send(*taken)  # it was on its way, and has failed
    now_due()
    assert webhooks.send_due() == 0
    assert (run("list")[0].endswith(": paused\n"), run("list")[1]) == (True, 0)
    run("resume", f"{webhook.pk}")
    assert webhooks.send_due() == 1
    assert receiver.positions == [[1], [1]]


def test_another_secret_signs_what_was_refused_too(webhook: Webhook, receiver: Receiver) -> None:
    make_licenses(1)
    change(1)
    receiver.answers = [401]
    webhooks.send_due()
    said, _ = run("rotate", f"{webhook.pk}")
    old, receiver.secret = receiver.secret, said.splitlines()[1]
    assert old != receiver.secret
    now_due()
    assert webhooks.send_due() == 1
    assert receiver.positions == [[1], [1]]
    assert len(set(receiver.ids)) == 1


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def run(*arguments: str) -> tuple[str, int]:
    """What it printed, and its exit status."""
    said = StringIO()
    try:
        call_command("webhooks", *arguments, stdout=said)
    except SystemExit as end:
        return said.getvalue(), int(end.code or 0)
    return said.getvalue(), 0


def test_the_command(erp: User, receiver: Receiver) -> None:
    assert run("list") == ("There is no webhook.\n", 0)
    said, _ = run("add", receiver.url, "--user", "auditor", "--name", "SAP")
    webhook = Webhook.objects.get()
    first, receiver.secret = said.splitlines()
    assert first == f"webhook {webhook.pk} begins after change 0. Its secret, which is shown once:"
    assert receiver.secret == webhook.secret
    listed = f"{webhook.pk} (SAP): {receiver.url} for auditor, up to change 0 of 0: "
    assert run("list") == (f"{listed}active\n", 0)
    assert run("test", f"{webhook.pk}") == ("200 OK\n", 0)
    [(_, event)] = receiver.got
    assert (event["type"], event["data"]) == ("ping", {})
    receiver.answers = [401]
    with pytest.raises(CommandError, match="401 Unauthorized"):
        run("test", f"{webhook.pk}")
    make_licenses(1)
    drain()
    receiver.answers = [500]
    webhooks.send_due()
    assert "has failed 1 times since" in run("list")[0]
    User.objects.update(is_active=False)
    assert "held, since auditor may not log in" in run("list")[0]
    assert webhook.secret not in run("list")[0]
    assert run("remove", f"{webhook.pk}") == (f"webhook {webhook.pk} is removed\n", 0)
    assert not Webhook.objects.exists()
    with pytest.raises(CommandError, match=f"there is no webhook {webhook.pk}"):
        run("remove", f"{webhook.pk}")


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("http://erp.example/x", {}, "--plain-http"),
        ("erp.example/x", {}, "is no address"),
        ("https://erp.example:port/x", {}, "is no address"),
        ("https://erp.example/a b", {}, "is no address"),
        ("https://erp.example/\r\nHost: x", {}, "is no address"),
        ("ftp://erp.example/", {}, "is no address"),
        ("https:///x", {}, "is no address"),
        ("https://me:secret@erp.example/", {}, "no password"),
        ("https://erp.example/#x", {}, "no #"),
        ("https://erp.example/", {"user": "nobody"}, "nobody called 'nobody'"),
        ("https://erp.example/", {"user": "newcomer"}, "may not follow balances"),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(url: str, options: dict[str, str], says: str) -> None:
    User.objects.create(username="newcomer")
    with pytest.raises(CommandError, match=says):
        run("add", url, "--user", options.get("user", "auditor"))
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("url", ["https://erp.example:8443/x?y=z", "http://localhost:8000/", "http://[::1]/"])
def test_what_can_be_a_webhook(url: str) -> None:
    run("add", url, "--user", "auditor")
    assert Webhook.objects.get().url == url


def test_http_is_taken_from_who_insists() -> None:
    run("add", "http://erp.example/", "--user", "auditor", "--plain-http")
    assert Webhook.objects.exists()
