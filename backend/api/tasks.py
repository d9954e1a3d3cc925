"""Celery tasks of the API. A message is a hint; what is due is in PostgreSQL."""

from celery import shared_task

from api import webhooks


@shared_task(name="api.tasks.send_webhooks", ignore_result=True)
def send_webhooks() -> None:
    """Send changes of balances to those who want to be told."""
    webhooks.send_due()
