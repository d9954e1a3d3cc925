"""Celery tasks of the ledger. A message is a hint that may be lost, doubled or late; the outbox is the truth."""

from celery import shared_task

from ledger import engine, tally, uploads
from ledger.keys import Keys


@shared_task(name="ledger.tasks.recompute", ignore_result=True)
def recompute(keys: dict[str, list[int]] | None = None) -> None:
    """Work off the changes that these keys name, with all else of their transactions; without keys, all changes."""
    engine.drain(Keys.from_message(keys or {}))


@shared_task(name="ledger.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """Find what no hint announced, and try licenses again whose quarantine is over."""
    engine.sweep()


@shared_task(name="ledger.tasks.add_up", ignore_result=True)
def add_up() -> None:
    """Count what the engine has done; by that monitoring sees, too, that beat and a worker are up."""
    tally.add_up()


@shared_task(name="ledger.tasks.work_off_upload", ignore_result=True)
def work_off_upload(upload_id: int) -> None:
    """Preview or load what somebody has uploaded."""
    uploads.work_off(upload_id)


@shared_task(name="ledger.tasks.check_uploads", ignore_result=True)
def check_uploads() -> None:
    """Find uploads that no message announced, or whose worker died."""
    for upload_id in uploads.left():
        uploads.work_off(upload_id)
