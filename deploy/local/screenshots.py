"""`make screenshots`: what people see of the sample ledgers, as pictures in docs/screenshots/."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from browser import chromium
from django_setup import CHECKOUT, set_up_django
from embedded.server import find_free_port
from processes import pages, relay

set_up_django()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

import samples  # noqa: E402
from ledger import uploads  # noqa: E402
from ledger.engine import drain  # noqa: E402
from ledger.models import Upload  # noqa: E402
from license.tasks import sync_all_licenses  # noqa: E402
from reconcile import freshness  # noqa: E402
from run import wait_for  # noqa: E402
from samples import NUMBER  # noqa: E402

FOLDER = CHECKOUT / "docs" / "screenshots"
WIDE, NARROW = (1280, 800), (390, 780)
COLORS = 256


@dataclass(frozen=True)
class Shot:
    """A picture to take: its name, the address, and how the window is."""

    name: str
    address: str
    size: tuple[int, int] = WIDE
    scheme: str = "light"
    prepare: Callable[[Page], None] = lambda _: None
    """What is done in the page before."""


def overdraw(page: Page) -> None:
    """Type a bill of entry that takes more than is left of a pool, and try to save it."""
    page.get_by_label("Number:").fill("4711")
    page.get_by_label("Date:", exact=True).fill("05/11/2026")
    page.locator("[aria-labelledby*=import_item]").click()
    page.keyboard.type(f"{NUMBER} 7")
    expect(page.get_by_role("option")).to_contain_text([f"{NUMBER} / 7"])
    page.keyboard.press("Enter")
    page.locator("#id_lines-0-quantity").fill("850")
    page.locator("#id_lines-0-cif_fc").fill("12,500.50")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()


def upload_ledgers(page: Page) -> None:
    """Upload a newer ledger of a license, with a new one and a faulty one, and wait for the preview."""
    newer = (
        (samples.FOLDER / "dfia-2025.csv").read_bytes().replace(b"432.581", b"423.581").replace(b"8945026", b"8945027")
    )
    broken = (samples.FOLDER / "broken.csv").read_bytes()
    page.get_by_label("Choose files, or drop them here").set_input_files([
        {"name": name, "mimeType": "text/csv", "buffer": content}
        for name, content in (("dfia-2026.csv", newer), ("from-kochi.csv", broken))
    ])  # fmt: skip
    page.get_by_role("button", name="Preview").click()
    uploads.work_off(Upload.objects.latest("pk").pk)
    expect(page.get_by_text("Nothing is written yet.")).to_be_visible()


def open_the_first(page: Page) -> None:
    page.get_by_role("link", name="Settle").first.click()
    expect(page.get_by_role("button", name="Convert", exact=True)).to_be_visible()


def show_the_chart(page: Page) -> None:
    page.get_by_role("heading", name="Balance over time").evaluate("heading => heading.scrollIntoView()")


LICENSE = f"/licenses/{NUMBER}/"
SHOTS = [
    Shot("home", "/"),
    Shot("licenses", "/licenses/"),
    Shot("license", LICENSE),
    Shot("license-chart", LICENSE, prepare=show_the_chart),
    Shot("entry-overdraw", "/entry/ledger/billofentry/add/", prepare=overdraw),
    Shot("find", "/find/?norm=E5&quantity=5,000&price=2.5"),
    Shot("allot", "/allot/?item=palm&quantity=5,000&price=2.5"),
    Shot("ledgers", "/ledgers/", prepare=upload_ledgers),
    Shot("match", "/match/?kind=unconverted", prepare=open_the_first),
    Shot("trail", f"{LICENSE}trail/"),
    Shot("as-of", f"{LICENSE}as-of/?until=2026-03-31"),
    Shot("items", "/items/?norm=E5"),
    Shot("allotments", "/allotments/"),
    Shot("reconciliation", "/reconciliation/1/"),
    Shot("home-dark", "/", scheme="dark"),
    Shot("license-dark", LICENSE, scheme="dark"),
    Shot("licenses-narrow", "/licenses/", NARROW),
    Shot("license-narrow", LICENSE, NARROW),
]


def main() -> None:
    call_command("migrate", verbosity=0)
    samples.load()
    drain()
    sync_all_licenses()
    client = Client()
    client.force_login(User.objects.create_superuser("meera"), backend="django.contrib.auth.backends.ModelBackend")
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    FOLDER.mkdir(exist_ok=True)
    port = find_free_port()
    site = f"http://127.0.0.1:{port}"
    environment = {"HTTPS": "false", "SECRET_KEY": settings.SECRET_KEY}
    with relay("relay.log"), pages(port, "screenshots.log", environment=environment) as web, chromium() as browser:
        wait_for(port, web)
        while not freshness.look().relays:
            time.sleep(0.05)
        for shot in SHOTS:
            width, height = shot.size
            context = browser.new_context(
                base_url=site, viewport={"width": width, "height": height}, color_scheme=shot.scheme
            )
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": site}])
            page = context.new_page()
            page.goto(shot.address)
            shot.prepare(page)
            save(page.screenshot(), FOLDER / f"{shot.name}.png")
            context.close()
    print(f"{len(SHOTS)} pictures, {sum(file.stat().st_size for file in FOLDER.glob('*.png')) // 1024} kB: {FOLDER}")


def save(png: bytes, path: Path) -> None:
    """Few colours are enough, and need few bytes."""
    Image.open(BytesIO(png)).convert("RGB").quantize(COLORS).save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
