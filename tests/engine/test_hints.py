"""What Django's writes announce, read back from a real Redis. A hint may be lost; it must never cost a writer anything."""
# ruff: noqa: E501, PLW0108  (tables, to be read as such)

import base64
import json
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import kombu.pools
import pytest
import redis
from django.db import transaction

from ledger import hints
from ledger.keys import Keys
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.models import ExportItem, ImportItem, ItemName, License
from lmanagement.celery import app
from servers import Servers
from tests.conftest import sql
from tests.engine.sessions import make_licenses, outbox

QUEUE = "recompute"
SENT_SECONDS = 30


@pytest.fixture
def queue(database: None, live_servers: Servers) -> Iterator[Callable[[], list[Any]]]:
    """The keys of each message that has been sent, oldest first. Empty at the start, as is the outbox."""
    make_licenses(3)
    sql("""
        INSERT INTO license_itemname (id, name) VALUES (1, 'milk'), (2, 'sugar');
        INSERT INTO license_importitem_item_names (importitem_id, itemname_id) VALUES (1, 1), (2, 1);
        INSERT INTO ledger_billofentryline (id, bill_of_entry_id, import_item_id) VALUES (1, 1, 1);
        INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (1, 1);
        TRUNCATE ledger_licensechange;
    """)
    assert hints.flush(SENT_SECONDS)
    client = redis.Redis.from_url(live_servers.broker_url)
    client.delete(QUEUE)

    def messages() -> list[Any]:
        assert hints.flush(SENT_SECONDS)
        found = []
        for raw in reversed(client.lrange(QUEUE, 0, -1)):
            message = json.loads(raw)
            assert message["headers"]["task"] == "ledger.tasks.recompute"
            arguments, named, _ = json.loads(base64.b64decode(message["body"]))
            assert arguments == []
            assert list(named) == ["keys"]
            found.append(named["keys"])
        return found

    yield messages
    client.delete(QUEUE)
    client.close()


# ── What is announced ─────────────────────────────────────────────────────────────────────────────────────────────────


def get(model: Any, pk: int = 1) -> Any:
    return model.objects.get(pk=pk)


# fmt: off
WRITES: dict[str, tuple[Callable[[], Any], Any]] = {
    # write                             how                                                                     keys of the one message
    "create a license":                (lambda: License.objects.create(pk=9, license_number="9", license_date="2026-01-01"), {"license_id": [9]}),
    "save a license":                  (lambda: get(License).save(),                                           {"license_id": [1]}),
    "save an export item":             (lambda: get(ExportItem, 2).save(),                                     {"license_id": [2]}),
    "save an import item":             (lambda: get(ImportItem, 3).save(),                                     {"license_id": [3]}),
    "save an item name":               (lambda: get(ItemName).save(),                                          {"item_name_id": [1]}),
    "save a debit line":               (lambda: get(BillOfEntryLine).save(),                                   {"import_item_id": [1]}),
    "create an allotment line":        (lambda: AllotmentLine.objects.create(allotment_id=1, import_item_id=2), {"import_item_id": [2]}),
    "delete an export item":           (lambda: get(ExportItem).delete(),                                      {"license_id": [1]}),
    "delete an import item":           (lambda: get(ImportItem).delete(),                                      {"license_id": [1], "import_item_id": [1]}),
    "delete a query":                  (lambda: ExportItem.objects.filter(pk__gt=1).delete(),                  {"license_id": [2, 3]}),
    "item.item_names.add":             (lambda: get(ImportItem, 3).item_names.add(1, 2),                       {"import_item_id": [3]}),
    "item.item_names.remove":          (lambda: get(ImportItem).item_names.remove(1),                          {"import_item_id": [1]}),
    "item.item_names.set":             (lambda: get(ImportItem).item_names.set([2]),                           {"import_item_id": [1]}),
    "item.item_names.clear":           (lambda: get(ImportItem).item_names.clear(),                            {"import_item_id": [1]}),
    "name.import_items.add":           (lambda: get(ItemName).import_items.add(2, 3),                          {"import_item_id": [3]}),
    "name.import_items.remove":        (lambda: get(ItemName).import_items.remove(1, 2),                       {"import_item_id": [1, 2]}),
    "name.import_items.set":           (lambda: get(ItemName).import_items.set([2, 3]),                        {"import_item_id": [1, 3]}),
    "name.import_items.clear":         (lambda: get(ItemName).import_items.clear(),                            {}),  # Django does not say which
    "allotment.bills_of_entry.add":    (lambda: get(Allotment, 2).bills_of_entry.add(1, 2),                    {"allotment_id": [2]}),
    "allotment.bills_of_entry.clear":  (lambda: get(Allotment).bills_of_entry.clear(),                         {"allotment_id": [1]}),
    "bill.allotments.add":             (lambda: get(BillOfEntry, 2).allotments.add(1, 2),                      {"allotment_id": [1, 2]}),
    "bill.allotments.remove":          (lambda: get(BillOfEntry).allotments.remove(1),                         {"allotment_id": [1]}),
    "delete a bill of entry":          (lambda: get(BillOfEntry).delete(),                                     {"import_item_id": [1]}),
}
# fmt: on


@pytest.mark.parametrize("write", WRITES)
def test_a_write_announces_its_keys_in_one_message(queue: Callable[[], list[Any]], write: str) -> None:
    how, keys = WRITES[write]
    how()
    assert queue() == [keys]


def test_nothing_is_announced_for_what_no_balance_depends_on(queue: Callable[[], list[Any]]) -> None:
    get(BillOfEntry).save()
    get(Allotment).save()
    assert queue() == []


def test_adding_what_is_linked_already_does_not_ask_to_look_at_everything(queue: Callable[[], list[Any]]) -> None:
    get(ItemName).import_items.add(1, 2)
    get(BillOfEntry).allotments.add(1)
    assert outbox() == []
    assert {} not in queue()


def test_a_transaction_is_one_message(queue: Callable[[], list[Any]]) -> None:
    with transaction.atomic():
        get(License).save()
        get(ExportItem, 2).save()
        get(ItemName, 2).save()
        get(ImportItem, 3).item_names.add(1)
        get(Allotment, 2).bills_of_entry.add(1)
        get(BillOfEntryLine).delete()
        assert queue() == []
    assert queue() == [
        {"license_id": [1, 2], "import_item_id": [1, 3], "allotment_id": [2], "item_name_id": [2]},
    ]


def merged(messages: list[Any]) -> Any:
    keys = Keys()
    for message in messages:
        assert message
        keys.update(Keys.from_message(message))
    return keys.as_message()


def test_saves_of_one_transaction_are_one_message(queue: Callable[[], list[Any]]) -> None:
    with transaction.atomic():
        for pk in (1, 2, 3):
            get(License, pk).save()
    assert queue() == [{"license_id": [1, 2, 3]}]


def test_savepoints_that_are_kept(queue: Callable[[], list[Any]]) -> None:
    with transaction.atomic():
        with transaction.atomic():
            get(License, 1).save()
            with transaction.atomic():
                get(License, 2).save()
        get(License, 3).save()
    assert merged(queue()) == {"license_id": [1, 2, 3]}


def test_a_savepoint_that_is_rolled_back_says_nothing_and_loses_nothing(queue: Callable[[], list[Any]]) -> None:
    with transaction.atomic():
        with transaction.atomic():
            get(License, 1).save()
            transaction.set_rollback(True)
        get(License, 2).save()
    assert queue() == [{"license_id": [2]}]


def test_writes_before_in_and_after_a_savepoint_that_is_rolled_back(queue: Callable[[], list[Any]]) -> None:
    with transaction.atomic():
        with transaction.atomic():
            get(ItemName, 1).save()
        with transaction.atomic():
            get(License, 1).save()
            with transaction.atomic():
                get(BillOfEntryLine, 1).delete()
            transaction.set_rollback(True)
        with transaction.atomic():
            get(License, 2).save()
        get(License, 3).save()
    assert merged(queue()) == {"license_id": [2, 3], "item_name_id": [1]}


def test_a_transaction_that_is_rolled_back_announces_nothing(queue: Callable[[], list[Any]]) -> None:
    with transaction.atomic():
        get(License).save()
        get(ImportItem).delete()
        transaction.set_rollback(True)
    assert queue() == []


def test_the_message_after_a_rollback_is_not_lost(queue: Callable[[], list[Any]]) -> None:
    test_a_transaction_that_is_rolled_back_announces_nothing(queue)
    get(License, 2).save()
    assert queue() == [{"license_id": [2]}]


def test_more_than_a_thousand_ids_mean_everything(queue: Callable[[], list[Any]]) -> None:
    hints.announce(Keys(license_id=set(range(1, hints.MOST_IDS + 1))))
    hints.flush(SENT_SECONDS)
    hints.announce(Keys(license_id=set(range(1, hints.MOST_IDS + 2))))
    first, second = queue()
    assert (len(first["license_id"]), second) == (hints.MOST_IDS, {})


def test_keys_survive_the_broker() -> None:
    keys = Keys(license_id={2, 1}, item_name_id={3})
    assert Keys.from_message(json.loads(json.dumps(keys.as_message()))) == keys
    assert Keys.from_message({}) == Keys()
    assert not Keys()
    with pytest.raises(TypeError):
        Keys.from_message({"company_id": [1]})


# ── A broken broker ───────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def broker_at(url: str) -> Iterator[None]:
    """The app with another broker."""

    def point_to(broker_url: str) -> None:
        os.environ["CELERY_BROKER_URL"] = broker_url  # Celery asks it before its own settings
        app.pool.force_close_all()
        app._pool = None
        app.amqp._producer_pool = None
        kombu.pools.reset()

    before = os.environ["CELERY_BROKER_URL"]
    point_to(url)
    try:
        yield
        hints.flush(SENT_SECONDS)
    finally:
        point_to(before)


@contextmanager
def hanging(live_servers: Servers) -> Iterator[None]:
    """Redis takes connections and never answers."""
    os.kill(live_servers.redis.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(live_servers.redis.pid, signal.SIGCONT)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == hints.__name__]


def test_redis_stopped_and_started_again(
    queue: Callable[[], list[Any]], live_servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    get(License, 1).save()
    assert queue() == [{"license_id": [1]}]
    live_servers.redis.stop()
    try:
        get(ExportItem, 2).delete()
        assert [row[1] for row in outbox()] == [2]  # the write is there, and so is its change
        assert hints.flush(SENT_SECONDS)
        [message] = warnings_of(caplog)
        assert "changes wait for the relay or the sweep" in message
        assert caplog.records[0].levelno == logging.WARNING
    finally:
        live_servers.redis.start()
    get(License, 3).save()
    assert queue() == [{"license_id": [3]}]


def test_nobody_listens_there(queue: Callable[[], list[Any]], caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can take it
        with broker_at(f"redis://127.0.0.1:{taken.getsockname()[1]}/0"):
            get(ExportItem, 2).delete()
            assert hints.flush(SENT_SECONDS)
            assert [row[1] for row in outbox()] == [2]
            assert len(warnings_of(caplog)) == 1
    get(License, 3).save()
    assert queue() == [{"license_id": [3]}]


def test_a_save_does_not_wait_for_a_broker_that_hangs(
    queue: Callable[[], list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, broker_at(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"):
        before = time.monotonic()
        get(ExportItem, 2).delete()
        saved = time.monotonic()
        assert not hints.flush(0)  # it has returned, and the hint is still on its way
        assert hints.flush(SENT_SECONDS)
        sent = time.monotonic()
        assert saved - before < sent - saved
        assert [row[1] for row in outbox()] == [2]
        assert len(warnings_of(caplog)) == 1
    get(License, 3).save()
    assert queue() == [{"license_id": [3]}]


def watch_sending(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set as soon as a hint is on its way."""
    send, is_sending = hints.send, threading.Event()

    def sending(keys: Keys) -> bool:
        is_sending.set()
        return send(keys)

    monkeypatch.setattr(hints, "send", sending)
    return is_sending


def test_what_is_written_while_one_hint_is_sent_goes_into_the_next(
    queue: Callable[[], list[Any]], live_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(License, 1).save()
    assert queue() == [{"license_id": [1]}]  # and now there is a connection
    is_sending = watch_sending(monkeypatch)
    with hanging(live_servers):
        get(License, 1).save()
        assert is_sending.wait(SENT_SECONDS)
        for number in range(30):
            get((ExportItem, ImportItem, License)[number % 3], 2 + number % 2).save()
        assert not hints.flush(0)
    assert queue() == [{"license_id": [1]}, {"license_id": [1]}, {"license_id": [2, 3]}]


def test_messages_of_a_process_are_so_far_apart_and_the_first_after_a_pause_is_sent_at_once(
    queue: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[float] = []
    send = hints.send
    monkeypatch.setattr(hints, "send", lambda keys: sent.append(time.monotonic()) or send(keys))
    monkeypatch.setattr(hints, "BETWEEN_SECONDS", 0.5)
    get(License, 1).save()
    assert queue() == [{"license_id": [1]}]
    for pk in (2, 3):
        get(License, pk).save()
    assert queue() == [{"license_id": [1]}, {"license_id": [2, 3]}]
    assert sent[1] - sent[0] >= hints.BETWEEN_SECONDS


def test_a_broken_broker_is_not_tried_for_every_write(
    queue: Callable[[], list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """After a failure there is a pause, also while writes keep coming: one line a second in the log, not one a write."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with broker_at(f"redis://127.0.0.1:{taken.getsockname()[1]}/0"):
            began = time.monotonic()
            for number in range(60):
                hints.announce(Keys(license_id={number}))
                time.sleep(0.01)
            pauses = (time.monotonic() - began) / hints.PAUSE_AFTER_FAILURE_SECONDS
            assert len(warnings_of(caplog)) <= 2 + pauses


def test_messages_that_nobody_takes_become_no_more_than_so_many(
    queue: Callable[[], list[Any]],
    live_servers: Servers,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hints, "MOST_WAITING", 2)
    monkeypatch.setattr(hints, "COUNT_SECONDS", 0)
    assert [hints.send(Keys(license_id={pk})) for pk in (1, 2, 3, 1)] == [True, True, False, False]
    assert queue() == [{"license_id": [1]}, {"license_id": [2]}]
    assert "2 messages wait already" in warnings_of(caplog)[0]
    with redis.Redis.from_url(live_servers.broker_url) as client:
        client.lpop(QUEUE)
    assert hints.send(Keys(license_id={3}))


# ── Processes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_a_fork(work: Callable[[], bool]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # to fork beside threads is what is tested
        child = os.fork()
    if child == 0:
        is_done = False
        try:
            is_done = work()
        finally:
            os._exit(0 if is_done else 1)
    deadline = time.monotonic() + SENT_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def test_a_child_of_a_process_that_has_announced_can_announce(queue: Callable[[], list[Any]]) -> None:
    get(License, 1).save()
    assert queue() == [{"license_id": [1]}]

    def announce() -> bool:
        hints.announce(Keys(license_id={2}))
        return hints.flush(10)

    assert in_a_fork(announce)
    get(License, 3).save()
    assert queue() == [{"license_id": [1]}, {"license_id": [2]}, {"license_id": [3]}]


def test_a_child_forked_while_a_hint_is_being_sent_can_announce(
    queue: Callable[[], list[Any]], live_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(License, 1).save()
    assert queue() == [{"license_id": [1]}]
    is_sending = watch_sending(monkeypatch)
    with hanging(live_servers):
        get(License, 1).save()
        assert is_sending.wait(SENT_SECONDS)
        server = live_servers.redis.pid

        def announce() -> bool:
            os.kill(server, signal.SIGCONT)
            hints.announce(Keys(license_id={2}))
            return hints.flush(10)

        assert in_a_fork(announce)
    assert sorted(map(str, queue())) == ["{'license_id': [1]}", "{'license_id': [1]}", "{'license_id': [2]}"]
