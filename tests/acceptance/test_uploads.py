"""Ledgers that people upload, and real workers that preview and load them; one is killed at it."""

import os
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from ledger import uploads
from ledger.models import Upload, UploadedLicense
from ledger.tasks import check_uploads
from license.models import License
from processes import celery
from tests.acceptance.conftest import nothing_is_pending, until
from tests.conftest import assert_balances_follow_facts, sql

pytestmark = pytest.mark.usefixtures("database")

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "dfia-2025.csv"


def receive() -> Upload:
    file = SimpleUploadedFile(SAMPLE.name, SAMPLE.read_bytes())
    return uploads.receive([file], by="meera", form=uuid4())


def becomes(state: str) -> Upload:
    until(lambda: Upload.objects.get().state == state, f"it is {state}")
    return Upload.objects.get()


def test_an_upload_is_previewed_confirmed_loaded_and_followed(worker: subprocess.Popen[bytes]) -> None:
    receive()
    upload = becomes("previewed")
    assert not License.objects.exists()
    assert uploads.confirm(upload.pk, upload.lease, by="arjun")
    becomes("loaded")
    until(nothing_is_pending, "an empty outbox")
    assert_balances_follow_facts()
    assert list(UploadedLicense.objects.filter(is_loaded=True).values_list("status", flat=True)) == ["created"] * 4


def test_an_upload_whose_worker_was_killed_is_gone_on_with_by_another(tmp_path: Path) -> None:
    """kill -9 while it waits for another load of ledgers to end."""
    with (
        celery("worker", "--loglevel=info", "--concurrency=1", log="1.log", folder=tmp_path) as first,
        psycopg.connect(os.environ["DATABASE_URL"]) as another_load,
    ):
        another_load.execute("SELECT pg_advisory_xact_lock(x'4C63'::bigint << 48)")
        receive()
        waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: sql(waits) != [], "it is in the middle of a preview")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert Upload.objects.get().state == "preview"
    check_uploads()  # nobody can know that it is dead before its lease is over
    assert Upload.objects.get().state == "preview"
    sql("UPDATE ledger_upload SET leased_until = now()")
    with celery("worker", "--loglevel=info", "--concurrency=1", log="2.log", folder=tmp_path):
        check_uploads.delay()
        assert becomes("previewed").percent_done == 100
