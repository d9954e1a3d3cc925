"""A private Redis."""

import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from embedded.binaries import find_redis_server
from embedded.secret import get_password, write_private_file
from embedded.server import HOST, Server

ANSWER_SECONDS = 5


class RedisServer(Server):
    """A temporary one keeps its data in memory only; another saves it when it stops."""

    name = "Redis"
    stop_signals = "SIGTERM,SIGKILL"

    def __init__(
        self, folder: Path, lock: int, *, is_durable: bool, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, lock, environment)
        self._program = find_redis_server()
        self._password = get_password(folder / "redis.password")
        self._is_durable = is_durable

    @property
    def url(self) -> str:
        return f"redis://:{quote(self._password, safe='')}@{HOST}:{self.port}/0"

    def _get_command(self) -> list[str]:
        """The password is in a file, for every user of the machine can read a command line."""
        settings = [f"bind {HOST}", f"port {self.port}", "protected-mode yes", f"requirepass {self._password}"]
        settings.append("save 60 1" if self._is_durable else 'save ""')
        write_private_file(self.folder / "redis.conf", "\n".join(settings) + "\n")
        return [str(self._program), "redis.conf"]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=ANSWER_SECONDS) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as replies:
                    return replies.read() == b"+OK\r\n+PONG\r\n+OK\r\n"
        except OSError:
            return False
