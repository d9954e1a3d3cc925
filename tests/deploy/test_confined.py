"""The commands of the units do their work under what the units forbid: each as root would have systemd start it."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from django_setup import BACKEND
from embedded.binaries import find_postgres_bindir
from embedded.server import find_free_port
from license.models import License
from license.tasks import sync_all_licenses
from processes import running
from tests.acceptance.conftest import PATIENCE_SECONDS, balance_of, license, no_messages, nothing_is_pending, until
from tests.conftest import assert_balances_follow_facts, sql
from tests.deploy.conftest import program
from tests.deploy.units import BACKUP, UNITS, environment_of, placed
from tests.roles import url_of
from tests.web.conftest import LogIn, log_in

__all__ = ["license", "log_in", "no_messages"]

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("database"),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux may confine a process"),
]
LARGE = 5_000_000
CONFINED = [sys.executable, str(Path(__file__).with_name("confined.py"))]


@contextmanager
def up(unit: str, folder: Path, command: list[str] | None = None, **environment: str) -> Iterator[Path]:
    """A unit's command while it is up, confined; its output. It then ends by itself on SIGTERM, with status 0."""
    program("systemd-analyze", "systemd")
    folder.mkdir(exist_ok=True)
    output = folder.parent / f"{unit}.log"
    line = [*CONFINED, str(UNITS / unit), str(folder), "--", *(command or placed(unit, folder))]
    # confined.py itself asks a program of the system
    surroundings = {**environment_of(unit), **environment, "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    with running(line, output, environment=surroundings) as process:
        yield output
        assert process.poll() is None, output.read_text()
    assert process.returncode == 0, output.read_text()


TRIES = """
import mmap, os, socket, sys
def is_refused(what):
    try:
        what()
    except OSError:
        return True
print(all(map(is_refused, (
    lambda: open(os.path.join(os.getcwd(), "forbidden"), "w"),
    lambda: open("/etc/forbidden", "w"),
    lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    lambda: os.setuid(1),
    lambda: os.chmod(sys.argv[1], 0o4755),
    lambda: os.nice(-1),
))), os.listdir("/dev") != [])
"""


def test_what_is_forbidden_is_refused(tmp_path: Path) -> None:
    """Or the others would prove nothing."""
    program("systemd-analyze", "systemd")
    (tmp_path / "ours").touch()
    command = [shutil.which("python3") or sys.executable, "-c", TRIES, str(tmp_path / "ours")]
    line = [*CONFINED, str(UNITS / "license-web.service"), str(tmp_path), "--", *command]
    done = subprocess.run(line, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_balances_follow_and_the_night_happens(license: License, tmp_path: Path) -> None:
    """Both workers, beat and the relay. Two writes: one that is announced, and one that the relay must find."""
    folder = tmp_path / "folder"
    with (
        up("celery-worker.service", folder),
        up("celery-night.service", folder),
        up("celery-beat.service", folder, SWEEP_SECONDS="0.5"),
        up("license-relay.service", folder),
    ):
        until(lambda: balance_of(license) == 1000 and nothing_is_pending(), "the balance of a new license")
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("UPDATE license_exportitem SET cif_fc = 1234")
        until(lambda: balance_of(license) == 1234 and nothing_is_pending(), "a raw write")
        result = sync_all_licenses.delay().get(timeout=PATIENCE_SECONDS)
        assert result["status"] == "success"
        logs = {name: folder / f"log/celery/{name}.log" for name in ("worker", "night", "beat")}
        until(lambda: "Sending due task sweep" in logs["beat"].read_text(), "beat is at work")
        assert "sync_all_licenses" in logs["night"].read_text()
        assert "sync_all_licenses" not in logs["worker"].read_text().partition("ready.")[2]
    for log in logs.values():
        assert "not permitted" not in log.read_text()
    assert_balances_follow_facts()


def test_the_owner_takes_a_backup(license: License, tmp_path: Path) -> None:
    """One that ends: whatever it may not do, it needs not."""
    program("systemd-analyze", "systemd")
    folder = tmp_path / "folder"
    line = [*CONFINED, str(UNITS / BACKUP), str(folder), "--", *placed(BACKUP, folder)]
    path = f"{find_postgres_bindir()}{os.pathsep}{os.environ['PATH']}"
    surroundings = {
        **environment_of(BACKUP),
        "PATH": path,
        "HOME": "/nonexistent",
        "DATABASE_URL": url_of("license_owner"),
    }
    done = subprocess.run(line, cwd=BACKEND, env=surroundings, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    [file] = (folder / "lib/license-backup").iterdir()
    assert sql("SELECT file, size_bytes FROM reconcile_backup") == [(str(file), file.stat().st_size)]
    assert done.stdout.startswith(f"{file}: ")


def test_the_pages_show_make_files_and_take_uploads(license: License, log_in: LogIn, tmp_path: Path) -> None:
    """As systemd starts them: ready is said to it. Files: a PDF; and an upload so large that it goes by the disk."""
    port, ready = find_free_port(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.settimeout(PATIENCE_SECONDS)
    ready.bind(str(tmp_path / "notify"))
    command = placed("license-web.service", tmp_path / "folder")
    command = [word.replace("127.0.0.1:8000", f"127.0.0.1:{port}") for word in command]
    told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "SECRET_KEY": settings.SECRET_KEY, "HTTPS": "false"}
    with ready, up("license-web.service", tmp_path / "folder", command, **told) as output:
        assert b"READY=1" in ready.recv(1024)
        session, token = log_in("operator").cookies["sessionid"].value, "a" * 32
        who = {"Cookie": f"sessionid={session}; csrftoken={token}", "X-CSRFToken": token}

        def ask(method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
            with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
                connection.request(method, path, body, {**who, "Content-Type": MULTIPART_CONTENT})
                response = connection.getresponse()
                return response.status, response.read()

        assert ask("GET", "/licenses/")[0] == 200
        status, pdf = ask("GET", f"/licenses/{license.license_number}/balance-sheet.pdf")
        assert (status, pdf[:5]) == (200, b"%PDF-")
        form = {"form": uuid4(), "files": SimpleUploadedFile("large.csv", b"-" * LARGE)}
        assert ask("POST", "/ledgers/", encode_multipart(BOUNDARY, form))[0] == 302
    assert sql("SELECT length(content) FROM ledger_uploadfile") == [(LARGE,)]
    assert "Traceback" not in output.read_text()
