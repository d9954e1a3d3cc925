"""`make run`: an address and a login are printed, and are true."""

import contextlib
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from lxml import html

from django_setup import CHECKOUT
from tests.acceptance.conftest import until

ENOUGH_SECONDS = 60


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with nothing in it yet, away from the servers of this session."""
    for folder in ("backend", "deploy/local", "samples"):
        ignored = shutil.ignore_patterns("__pycache__", ".env")
        shutil.copytree(CHECKOUT / folder, tmp_path / "checkout" / folder, ignore=ignored)
    for variable in ("DATABASE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "checkout"


@contextlib.contextmanager
def stack(checkout: Path) -> Iterator[str]:
    """Up, with what it printed."""
    local = checkout / "deploy/local"
    command = [sys.executable, local / "servers.py", "run", "--instance", "run", "--", sys.executable, local / "run.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("Ctrl-C"):
                break
        try:
            yield printed
        finally:
            process.terminate()
            assert process.wait(ENOUGH_SECONDS) in (0, 143)


def home(address: str, password: str) -> str:
    """Its text, of somebody who logs in as a browser would."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(f"{address}login/") as page:
        [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
    form = {"username": "desk", "password": password, "csrfmiddlewaretoken": token}
    with browser.open(f"{address}login/", urllib.parse.urlencode(form).encode()) as page:
        return " ".join(html.fromstring(page.read().decode()).text_content().split())


@pytest.mark.long
@pytest.mark.timeout(240)
def test_it_prints_an_address_and_a_login_and_has_sample_data(checkout: Path) -> None:
    with stack(checkout) as printed:
        [address] = re.findall(r"http://127\.0\.0\.1:\d+/", printed)
        [password] = re.findall(r"Log in as desk, password (\S+) ", printed)
        until(lambda: "1 Overdrawn" in home(address, password), "the worker has computed the samples")
        assert "10 All" in home(address, password)
    with stack(checkout) as printed:
        assert "Log in as before" in printed
        assert password not in printed
        [address] = re.findall(r"http://127\.0\.0\.1:\d+/", printed)
        assert "10 All" in home(address, password)
