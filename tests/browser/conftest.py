"""What tests in a real browser share: the pages as they run in production, and windows of people who look at them."""

import re
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from browser import chromium
from embedded.server import find_free_port
from processes import pages, relay
from tests.acceptance.conftest import until
from tests.web.conftest import LogIn, desk, log_in

__all__ = ["desk", "log_in"]

WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 360, "height": 640}
OpenWindow = Callable[..., Page]
SECONDS = 5
"""A change is seen within a second, on a machine that is not busy."""
REPORT_VIOLATIONS = """
    document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`the policy forbids ${event.violatedDirective}: ${event.blockedURI}`));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of these tests may have to wait until a browser is installed."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """One for all tests of a file; each window has its own cookies."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Where the pages are, as gunicorn serves them. They know the sessions that this process makes."""
    port, folder = find_free_port(), tmp_path_factory.mktemp("site")
    environment = {"HTTPS": "false", "SECRET_KEY": settings.SECRET_KEY}
    with pages(port, "pages.log", folder, environment):
        until(lambda: "Listening at" in (folder / "pages.log").read_text(), "the pages are up")
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def engine(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """A real relay works off what is written."""
    with relay("relay.log", tmp_path_factory.mktemp("relay")):
        yield


@pytest.fixture
def open_window(browser: Browser, site: str, log_in: LogIn) -> Generator[OpenWindow]:
    """Opens a window in which somebody of a role is logged in: `open_window("operator", color_scheme="dark")`.

    A test fails if anything was written to the console of one, or its policy was violated, but for what `expected`, a
    regular expression, finds in it.
    """
    complaints: list[str] = []
    contexts = []

    def open_one(role: str = "viewer", *, expected: str = "(?!)", **options: object) -> Page:
        context = browser.new_context(base_url=site, **{"viewport": WIDE, **options})
        contexts.append(context)
        if cookie := log_in(role).cookies.get(settings.SESSION_COOKIE_NAME):
            context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": site}])
        context.add_init_script(REPORT_VIOLATIONS)
        context.set_default_timeout(10_000)

        def written(message: ConsoleMessage) -> None:
            if not re.search(expected, message.text):
                complaints.append(f"{message.page.url}: {message.type}: {message.text}")

        context.on("console", written)
        context.on("weberror", lambda error: complaints.append(f"{error.page.url}: {error.error}"))
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def table(page: Page, column: int) -> list[str]:
    """A column of the first table of a page, as it is read."""
    return page.locator(f"main table >> nth=0 >> tbody tr > :nth-child({column + 1})").all_inner_texts()


def shows(page: Page, balance: str) -> None:
    """An open license says this balance, or does so in a moment."""
    expect(page.locator("#balance")).to_have_text(balance, timeout=SECONDS * 1000)


def is_too_wide(page: Page) -> bool:
    """Whether the page has to be pushed to and fro to be read."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name, and nothing more, has the focus, which can be seen all the way."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none", focused.inner_html()
        if focused.evaluate("e => (e.ariaLabel ?? e.labels?.[0]?.firstChild.data ?? e.innerText).trim()") == name:
            return
    raise AssertionError(f"{name} is not reached")
