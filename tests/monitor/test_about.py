"""Who searches the log for a license, a run, an upload or a webhook finds what became of it."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from api import webhooks
from api.models import Webhook
from ledger import feed, uploads
from ledger.engine import drain
from ledger.icegate.load import AnotherLoadError
from license.about import about
from monitor.log import JsonLines
from reconcile import mail, night
from reconcile.models import RunTrigger
from tests.conftest import sql
from tests.engine.sessions import failing, make_licenses, session
from tests.icegate.render import csv_file
from tests.web.test_ledgers import LICENSE, NEW

pytestmark = pytest.mark.usefixtures("database")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What a worker would have logged since one last asked."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    def said() -> list[dict[str, Any]]:
        text = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        return [json.loads(line) for line in text.splitlines()]

    yield said
    root.removeHandler(handler)
    root.setLevel(before)


def about_license(said: list[dict[str, Any]], number: str) -> list[str]:
    return [line["message"] for line in said if number in line.get("license", ())]


def test_each_transaction_that_changes_balances_says_which_and_no_other_says_anything(lines: Lines) -> None:
    make_licenses(12)
    drain()
    [line] = lines()
    assert sorted(line["license"], key=int) == [str(n) for n in range(1, 13)]
    names = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"
    assert line["message"].startswith(f"balances have changed of {names} (licenses: 12; changes worked off: ")
    sql("UPDATE license_exportitem SET cif_fc = cif_fc WHERE license_id = 1")
    drain()
    assert lines() == []
    sql("DELETE FROM license_importitem WHERE license_id = 2; DELETE FROM license_exportitem WHERE license_id = 2; "
        "DELETE FROM license_license WHERE id = 2")  # fmt: skip
    drain()
    [line] = lines()
    assert line["license"] == ["deleted, of id 2"]


def test_what_is_rolled_back_is_not_said_to_have_changed(lines: Lines) -> None:
    make_licenses(1)
    with failing("ledger_balancehistory", "true", "53100"), pytest.raises(Exception, match="made to fail"):
        drain()
    assert lines() == []


def test_licenses_that_are_quarantined_or_held_are_named(lines: Lines) -> None:
    make_licenses(3)
    drain()
    lines()
    sql("UPDATE license_license SET license_number = '031' || license_number")
    with failing("ledger_licensebalance", "NEW.license_id = 1", "22003"):
        sql("UPDATE license_exportitem SET cif_fc = 7 WHERE license_id = 1")
        drain()
    assert about_license(lines(), "0311") == ["license 0311 is quarantined: made to fail"]
    with session() as other:
        other.execute("SELECT FROM ledger_licensebalance WHERE license_id = 3 FOR UPDATE")
        sql("UPDATE license_exportitem SET cif_fc = 7 WHERE license_id = 3")
        drain(is_short=True)
    assert about_license(lines(), "0313") == [
        "left for later, since somebody holds a lock on their balances: 0313 (licenses: 1)"
    ]


def test_all_of_a_run_is_about_it_the_repairs_too(lines: Lines, settings: Any) -> None:
    make_licenses(3)
    drain()
    sql("SET session_replication_role = replica")
    sql("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = 2")
    sql("RESET session_replication_role")
    lines()
    settings.REPORT_RECIPIENTS = ["desk@example.com"]
    run = night.start(RunTrigger.NIGHT, batch_size=2)
    assert run is not None
    night.work(run)
    said = lines()
    assert [(line["message"], line.get("license")) for line in said] == [
        (f"{run} has begun, by night", None),
        ("balances have changed of 2 (licenses: 1; changes worked off: 0)", ["2"]),
        ("licenses of ids 1 to 2: 2 checked, 1 had drifted", None),
        (f"{run} is complete; licenses checked: 3, drifted: 1, repaired: 1", None),
        (f"the report of {run} is mailed", None),
    ]
    assert {line.get("run") for line in said} == {run.pk}
    sql("UPDATE reconcile_reconciliationrun SET mailed_at = NULL, mail_begun_at = NULL")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    mail.mail_what_is_due()
    [line] = lines()
    assert (line["level"], line["run"]) == ("WARNING", run.pk)
    drain()
    sql("UPDATE license_exportitem SET cif_fc = 7 WHERE license_id = 2")
    drain()
    [line] = lines()
    assert "run" not in line


def test_a_chunk_that_fails_says_of_which_run(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    make_licenses(1)
    run = night.start(RunTrigger.MANUAL)
    assert run is not None
    lines()
    monkeypatch.setattr(night, "find_drift", lambda *_: sql("SELECT 1 / 0"))
    night.take_chunk(run)
    [line] = lines()
    assert (line["level"], line["run"]) == ("ERROR", run.pk)
    assert line["exception"].endswith("division by zero")


def test_an_upload_from_its_files_to_its_licenses(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.tasks.work_off_upload.apply_async", lambda *_, **__: None)
    file = SimpleUploadedFile("a.csv", csv_file([LICENSE, NEW]))
    upload = uploads.receive([file], by="meera", form=uuid4())
    uploads.work_off(upload.pk)
    upload.refresh_from_db()
    assert uploads.confirm(upload.pk, upload.lease, by="asha")
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "_load", lambda _: (_ for _ in ()).throw(AnotherLoadError("another one is at it")))
        uploads.work_off(upload.pk)
    uploads.work_off(upload.pk)
    said = lines()
    number = upload.pk
    numbers = "0310000001, 0310000002"
    assert [line["message"] for line in said] == [
        f"upload {number} is received from meera, files: 1",
        f"upload {number} is previewed: {numbers}",
        f"upload {number} is confirmed by asha",
        f"upload {number} is left to be taken again: another one is at it",
        f"upload {number} is loaded: {numbers}",
    ]
    assert {line["upload"] for line in said} == {number}
    assert len(about_license(said, "0310000002")) == 2


def test_an_upload_that_nobody_wants_or_nobody_can_load(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.tasks.work_off_upload.apply_async", lambda *_, **__: None)
    first, second = (
        uploads.receive([SimpleUploadedFile("a.csv", csv_file([LICENSE]))], by="meera", form=uuid4()) for _ in "ab"
    )
    uploads.work_off(first.pk)
    first.refresh_from_db()
    uploads.reject(first.pk, first.lease, by="asha")
    sql("UPDATE ledger_upload SET attempts = 3, error = 'the disk is full' WHERE id = %s", second.pk)
    uploads.work_off(second.pk)
    assert [(line["upload"], line["message"]) for line in lines()[-2:]] == [
        (first.pk, f"upload {first.pk} is rejected by asha"),
        (second.pk, f"upload {second.pk} has failed: the disk is full"),
    ]


def test_a_webhook_and_the_licenses_of_which_it_was_told(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    erp = User.objects.create_superuser("erp")
    try:
        webhook = Webhook.objects.create(user=erp, url="https://x.example/", secret=f"{uuid4()}", position=0)
        make_licenses(2)
        drain()
        feed.publish()
        lines()
        monkeypatch.setattr(webhooks, "_post", lambda *_: webhooks.Answer(is_success=False, words="500"))
        assert webhooks.send_due() == 1
        sql("UPDATE api_webhook SET next_try_at = now()")
        monkeypatch.setattr(webhooks, "_post", lambda *_: webhooks.Answer(is_success=True, words="200"))
        assert webhooks.send_due() == 1
        newest = feed.newest()
    finally:
        erp.delete()
    assert [(line["webhook"], line["message"], line.get("license")) for line in lines()] == [
        (webhook.pk, f"{webhook} has failed, and is tried again: 500", None),
        (webhook.pk, f"{webhook} was sent 2 changes, up to position {newest}: 1, 2", ["1", "2"]),
    ]


def test_what_is_further_in_is_about_both_and_what_comes_after_about_neither(lines: Lines) -> None:
    logger = logging.getLogger("tests.about")
    with about(run=7):
        with about(upload=3):
            logger.info("in")
        with about(run=8):
            logger.info("another")
    logger.info("after")
    assert [{key: line[key] for key in line if key in ("run", "upload")} for line in lines()] == [
        {"run": 7, "upload": 3}, {"run": 8}, {},
    ]  # fmt: skip


def test_a_line_is_bounded_and_says_half_a_character_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("tests.about")
    logger.setLevel(logging.INFO)
    monkeypatch.setattr(logger, "propagate", False)  # pytest cannot pass half a character on
    logger.addHandler(handler)

    def fail() -> None:
        raise RuntimeError("y" * 100_000 + "the end")

    logger.info("file \udcff%s", "x" * 100_000)
    try:
        fail()
    except RuntimeError:
        logger.exception("it failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"].startswith("file \udcffxx")
    assert (len(first["message"]), len(second["exception"])) == (10_000, 10_000)
    assert second["exception"].endswith("the end")
