"""The report of a night by e-mail, to a real mail server: once, whoever sends it, and again if it could not be."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from django_setup import BACKEND
from ledger.engine import drain
from license.clock import business_date
from license.models import ExportItem, License
from reconcile.mail import mail_what_is_due
from reconcile.models import ReconciliationRun
from reconcile.tasks import check_night
from tests.conftest import sql

pytestmark = pytest.mark.usefixtures("database")

DESK = ["desk@example.com", "head@example.com"]


class Inbox:
    """What a mail server took in."""

    def __init__(self) -> None:
        self.refuses = False
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refuses:
            return "451 try again later"
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content or b"", policy=policy.default)))  # type: ignore[arg-type]
        return "250 taken"


@pytest.fixture
def inbox(settings: Any) -> Generator[Inbox]:
    """A mail server, which the settings name, and two people who want the report."""
    inbox = Inbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(inbox, hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.REPORT_RECIPIENTS = "127.0.0.1", port, DESK
    try:
        yield inbox
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def license(database: None) -> License:
    license = License.objects.create(license_number="0000000001", license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc=1000)
    drain()
    return license


def night() -> ReconciliationRun:
    call_command("sync_licenses", scheduled=True)
    return ReconciliationRun.objects.latest("pk")


def test_a_night_is_mailed_as_text_and_as_a_file(inbox: Inbox) -> None:
    run = night()
    [(recipients, mail)] = inbox.mails
    assert recipients == DESK
    today = business_date()
    assert mail["subject"] == f"License balances, night of {today:%d %b %Y}: all is well"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "1 licenses checked, 0 drifted" in body.get_content()
    [attached] = mail.iter_attachments()
    assert attached.get_filename() == f"reconciliation-{today.isoformat()}.html"
    assert attached.get_content_type() == "text/html"
    assert "All balances equal their facts." in attached.get_content()
    assert run.mailed_at is not None
    assert run.mail_error == ""


def test_drift_is_in_the_subject(inbox: Inbox) -> None:
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = 1")
    night()
    [(_, mail)] = inbox.mails
    assert mail["subject"].endswith(": needs a look")


def test_it_is_mailed_once(inbox: Inbox) -> None:
    night()
    mail_what_is_due()
    check_night()
    assert len(inbox.mails) == 1


def test_many_at_once_send_one_mail(inbox: Inbox, settings: Any) -> None:
    settings.REPORT_RECIPIENTS = []
    night()
    settings.REPORT_RECIPIENTS = DESK
    together = threading.Barrier(4)

    def send() -> None:
        try:
            together.wait()
            mail_what_is_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inbox.mails) == 1


def test_a_run_by_hand_is_not_mailed(inbox: Inbox) -> None:
    night()
    call_command("sync_licenses")
    assert [run.trigger for run in ReconciliationRun.objects.order_by("pk")] == ["night", "manual"]
    assert len(inbox.mails) == 1


def test_nobody_wants_it(inbox: Inbox, settings: Any) -> None:
    settings.REPORT_RECIPIENTS = []
    run = night()
    assert (inbox.mails, run.mailed_at, run.mail_error) == ([], None, "")


def test_a_mail_server_that_refuses_is_no_failure_and_is_tried_again(
    inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox.refuses = True
    run = night()
    assert (run.status, run.mailed_at) == ("complete", None)
    assert "451" in run.mail_error
    assert "This report could not be mailed: SMTPDataError" in capsys.readouterr().out
    inbox.refuses = False
    check_night()
    [(_, mail)] = inbox.mails
    body = mail.get_body(("plain",))
    assert body is not None
    assert "could not be mailed" not in body.get_content()
    run.refresh_from_db()
    assert run.mailed_at is not None
    assert run.mail_error == ""


def test_a_mail_server_that_is_away(inbox: Inbox, settings: Any) -> None:
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    run = night()
    assert run.mail_error.startswith("ConnectionRefusedError")
    settings.EMAIL_PORT = port
    mail_what_is_due()
    assert len(inbox.mails) == 1


def test_one_who_died_of_mailing_is_followed_by_another(inbox: Inbox, settings: Any) -> None:
    settings.REPORT_RECIPIENTS = []
    night()
    settings.REPORT_RECIPIENTS = DESK
    sql("UPDATE reconcile_reconciliationrun SET mail_begun_at = now() - interval '1 minute'")
    mail_what_is_due()
    assert inbox.mails == []  # somebody may be at it
    sql("UPDATE reconcile_reconciliationrun SET mail_begun_at = now() - interval '5 minutes'")
    mail_what_is_due()
    assert len(inbox.mails) == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("REPORT_RECIPIENTS", ["a@b@c"]),
        ("REPORT_RECIPIENTS", ["desk@example.com\nBcc: x@example.com"]),
        ("EMAIL_HOST", "x" * 64 + ".example.com"),
    ],
)
def test_a_mail_that_cannot_be_written_is_no_failure(inbox: Inbox, settings: Any, setting: str, value: object) -> None:
    setattr(settings, setting, value)
    run = night()
    assert run.status == "complete"
    assert run.mail_error != ""


def test_what_is_older_than_a_day_or_than_the_newest_is_left(inbox: Inbox, settings: Any) -> None:
    settings.REPORT_RECIPIENTS = []
    night()
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1")
    night()
    settings.REPORT_RECIPIENTS = DESK
    sql("UPDATE reconcile_reconciliationrun SET mailed_at = now() WHERE id = 2")
    mail_what_is_due()
    assert inbox.mails == []
    sql("UPDATE reconcile_reconciliationrun SET mailed_at = NULL, finished_at = now() - interval '25 hours'")
    mail_what_is_due()
    assert inbox.mails == []


def test_by_hand(inbox: Inbox, settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    night()
    call_command("night_report", "--mail")
    assert capsys.readouterr().out.endswith(f"The report of run 1 was mailed to {', '.join(DESK)}.\n")
    assert len(inbox.mails) == 2
    settings.EMAIL_PORT = 1
    with pytest.raises(CommandError, match="could not be mailed: ConnectionRefusedError"):
        call_command("night_report", "--mail")
    settings.REPORT_RECIPIENTS = []
    with pytest.raises(CommandError, match="REPORT_RECIPIENTS names nobody"):
        call_command("night_report", "--mail")


def manage(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "sync_licenses", "--scheduled"],
        cwd=BACKEND,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_as_the_environment_says(inbox: Inbox, settings: Any) -> None:
    done = manage(
        EMAIL_URL=f"smtp://127.0.0.1:{settings.EMAIL_PORT}",
        REPORT_RECIPIENTS=",".join(DESK),
        DEFAULT_FROM_EMAIL="balances@example.com",
    )
    assert done.returncode == 0, done.stderr
    [(recipients, mail)] = inbox.mails
    assert (recipients, mail["from"]) == (DESK, "balances@example.com")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"REPORT_RECIPIENTS": "desk@example.com"}, "EMAIL_URL"),
        ({"EMAIL_URL": "mail.example.com"}, "EMAIL_URL"),
        ({"EMAIL_URL": "http://mail.example.com"}, "EMAIL_URL"),
        ({"EMAIL_URL": "smtp://mail.example.com:abc"}, "EMAIL_URL"),
        ({"REPORT_RECIPIENTS": "desk@example.com, Head <b@x>", "EMAIL_URL": "smtp://x"}, "REPORT_RECIPIENTS"),
        ({"HISTORY_DAYS": "0"}, "HISTORY_DAYS"),
        ({"HISTORY_DAYS": "999999"}, "HISTORY_DAYS"),
        ({"REPORT_DAYS": "1.5"}, "REPORT_DAYS"),
    ],
)
def test_a_wrong_setting_is_one_line(environment: dict[str, str], says: str) -> None:
    done = manage(**environment)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert says in line
