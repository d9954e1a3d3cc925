"""A Celery task that does nothing but say that it began: what the parts of `make bench` compare latencies with."""

from celery import shared_task
from django.db import connection

SENT, RECEIVED = "bench_noop_sent", "bench_noop_received"


@shared_task(name="bench.noop", ignore_result=True)
def noop(number: int) -> None:
    """Insert one row."""
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {RECEIVED} (number) VALUES (%s)", [number])
