"""A real browser for tests and screenshots: Chromium as the system has it, driven by Playwright.

The browsers that Playwright would download are not used: one that the system keeps up to date is there, or comes with
its package manager.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from django_setup import CHECKOUT

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = "apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium"
LOCK = CHECKOUT / ".local" / "browser.lock"


class NoBrowserError(RuntimeError):
    """Says what a person can do about it."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. While it is there, Django lets this thread ask the database all the same: Playwright
    keeps an event loop in it, in which nothing of ours runs."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium())
            yield browser
            browser.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def find_chromium() -> str:
    """Its program. Where there is none it is installed, if we may; raises NoBrowserError otherwise."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several that look at once, one installs
        if found := _find():
            return found
        if os.geteuid() == 0 and shutil.which("apt-get"):
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(["sh", "-c", INSTALL], capture_output=True, text=True, check=False, env=quiet)
            if found := _find():
                return found
            raise NoBrowserError(f"Chromium could not be installed ({INSTALL}): {done.stderr.strip()[-500:]}")
    raise NoBrowserError(
        "No Chromium was found: install it (Debian and Ubuntu: apt-get install chromium), "
        f"so that one of {', '.join(NAMES)} is on the PATH."
    )


def _find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)
