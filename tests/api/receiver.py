"""A server that webhooks are sent to, as it checks them by the specification, and as bad as it is told to be."""

import base64
import hmac
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg

DEADLINE_SECONDS = 20
IN_TRANSACTION = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""


class Receiver:
    """What it has received, oldest first, each with its id. It answers what `answers` holds, one after another, and
    then 200: a status, or "hang", "drip", "redirect" or "megabytes", a 500 of such a size."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.raw: list[tuple[dict[str, str], bytes]] = []
        """The same as it came: headers and body."""
        self.answers: list[int | str] = []
        self.secret = ""
        self.may_go_on = threading.Event()
        """A receiver that hangs does so until this."""
        self.open_transactions = 0
        self.wrong: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?of=erp"

    @contextmanager
    def up(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            self.may_go_on.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    @property
    def ids(self) -> list[str]:
        return [message for message, _event in self.got]

    @property
    def positions(self) -> list[list[int]]:
        return [[item["position"] for item in event["data"]["items"]] for _message, event in self.got]


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_GET(self) -> None:
        self.receiver.wrong.append("a redirect was followed")
        self.do_POST()

    def do_POST(self) -> None:
        here = self.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        here.raw.append((dict(self.headers.items()), body))
        if not verified(*here.raw[-1], here.secret):
            here.wrong.append(f"{self.headers}")
        if (self.path, self.headers["Content-Type"]) != ("/hook?of=erp", "application/json"):
            here.wrong.append(f"{self.path} {self.headers}")
        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            here.open_transactions += connection.execute(IN_TRANSACTION).fetchone()[0]  # type: ignore[index]
        how = here.answers.pop(0) if here.answers else 200
        here.got.append((self.headers["webhook-id"], json.loads(body)))
        with suppress(OSError):  # whoever asked is gone
            self._answer(how)

    def _answer(self, how: int | str) -> None:
        if how == "hang":
            self.receiver.may_go_on.wait(DEADLINE_SECONDS)
            how = 200
        if how == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
            while not self.receiver.may_go_on.wait(0.02):
                self.wfile.write(b"y")
            return
        if how == "redirect":
            self.send_response(302)
            self.send_header("Location", self.receiver.url)
            self.end_headers()
            return
        self.send_response(500 if how == "megabytes" else int(how))
        self.end_headers()
        for _ in range(50 if how == "megabytes" else 0):
            self.wfile.write(b"no " * 300_000)

    def log_message(self, *_: Any) -> None:
        pass


def verified(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """As the specification says: a signature of several, of a version that one knows, and a time that is about now."""
    there = {name.lower(): value for name, value in headers.items()}
    message, timestamp = there["webhook-id"], there["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300 or not message.startswith("msg_"):
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    wanted = base64.b64encode(hmac.digest(key, b".".join([message.encode(), timestamp.encode(), body]), "sha256"))
    signatures = [each.partition(",") for each in there["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(given.encode(), wanted) for version, _, given in signatures)
