"""What the broker tells."""

from typing import Any

from celery import current_app
from kombu.exceptions import ChannelError, OperationalError

TIMEOUT_SECONDS = 1


def queue_lengths() -> dict[str, int]:
    """How many messages wait in each queue. OSError: the broker refuses to say, or does not answer within seconds."""
    options = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    with current_app.connection_for_read(transport_options=options) as connection:
        lengths = {}
        away: tuple[type[BaseException], ...] = (
            OperationalError,
            *connection.connection_errors,
            *connection.channel_errors,
        )
        try:
            for queue in current_app.amqp.queues.values():
                try:
                    told: Any = queue.bind(connection.default_channel).queue_declare(passive=True)
                    lengths[queue.name] = int(told.message_count)
                except ChannelError:
                    lengths[queue.name] = 0  # the broker forgets a queue that is empty
        except away as error:
            raise OSError(f"{error}") from error
    return lengths
