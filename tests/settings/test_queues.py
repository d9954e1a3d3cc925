"""The queues at a real broker."""

import pytest
from django.conf import settings

from lmanagement.celery import app


@pytest.mark.parametrize("name", [queue.name for queue in settings.CELERY_TASK_QUEUES])
def test_what_is_addressed_to_one_reaches_no_other(name: str) -> None:
    with app.connection_for_write() as connection:
        bound = [queue(connection.default_channel) for queue in settings.CELERY_TASK_QUEUES]
        for queue in bound:
            queue.declare()
            queue.purge()
        [addressed] = [queue for queue in bound if queue.name == name]
        connection.Producer().publish({}, exchange=addressed.exchange, routing_key=addressed.routing_key)
        assert [queue.name for queue in bound if queue.purge()] == [name]
