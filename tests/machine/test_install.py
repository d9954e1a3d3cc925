"""docs/install.md word for word, on a new server; then crashes, a new certificate, a reboot, an upgrade.

Everything on the machine is real but the name: licenses.example.com is the machine itself, an authority of its own says
so (Pebble, the test server of those who wrote ACME), and the repository came in a file.
"""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from browser import find_chromium
from django_setup import CHECKOUT
from tests.deploy.conftest import program
from tests.deploy.units import DAEMONS
from tests.machine.machine import NAME, PERSON, Machine, new_server

pytestmark = [pytest.mark.machine, pytest.mark.timeout(7200)]

SERVICES = [unit.removesuffix(".service") for unit in DAEMONS]
PASSWORD = "three-containers-at-Nhava-Sheva"  # noqa: S105 -- of a machine that is thrown away
LICENSE = "0310482917"
BUNDLE = "license-manager.bundle"
WELL = "found nothing: 2 notes."
SECONDS = 120
"""The machine is emulated, and much slower than one of its own."""
AUTHORITY = rf"""
    sudo apt-get install -y -qq pebble > /dev/null 2>&1
    sudo install -d /etc/pebble /etc/letsencrypt
    sudo openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout /etc/pebble/key.pem -out /etc/pebble/cert.pem 2> /dev/null
    echo '{{"pebble": {{"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
        "certificate": "/etc/pebble/cert.pem", "privateKey": "/etc/pebble/key.pem",
        "httpPort": 80, "tlsPort": 443}}}}' |
        sudo tee /etc/pebble/config.json > /dev/null
    printf 'server = https://localhost:14000/dir\nno-verify-ssl = true\nemail = meera@{NAME}\nagree-tos = true\n' |
        sudo tee /etc/letsencrypt/cli.ini > /dev/null
    sudo systemd-run --quiet --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0 \
        pebble -config /etc/pebble/config.json
    curl --silent --insecure --retry 50 --retry-connrefused --retry-delay 1 https://localhost:15000/roots/0 |
        sudo tee /usr/local/share/ca-certificates/pebble.crt > /dev/null
    sudo update-ca-certificates > /dev/null 2>&1
"""


def blocks(page: str) -> dict[str, list[str]]:
    """The blocks of commands of a page by the heading they stand under."""
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    sections = re.split(r"^#+ (.+)\n", text, flags=re.MULTILINE)
    pairs = zip(sections[1::2], sections[2::2], strict=True)
    return {title: re.findall(r"^ *```sh\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL) for title, section in pairs}


PAGE = (CHECKOUT / "docs/install.md").read_text(encoding="utf-8")
INSTALL = {title[:2]: steps for title, steps in blocks("install.md").items() if title[0].isdigit()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """It is installed, step by step, as the page says."""
    program("qemu-system-x86_64", "qemu-system-x86")
    program("debootstrap", "debootstrap")
    folder = tmp_path_factory.mktemp("repository")
    bundle = folder / BUNDLE
    subprocess.run(["git", "bundle", "create", "--quiet", str(bundle), "HEAD"], cwd=CHECKOUT, check=True)
    with new_server(os.environ.get("SUITE", "bookworm")) as machine:
        address = machine.brings(bundle)
        assert [len(steps) for steps in INSTALL.values()] == [1] * 9
        for number, [step] in INSTALL.items():
            print(f"step {number}", flush=True)
            if number == "6.":
                machine.answers(step, ("Email address:", ""), ("Password:", PASSWORD), ("again", PASSWORD))
            elif number == "8.":
                machine.types(AUTHORITY)
                machine.types(step)
            elif number != "9.":
                machine.types(step.replace("ADDRESS", address))
        yield machine


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(1)


def states(machine: Machine, *units: str) -> list[str]:
    return machine.attempt(f"systemctl is-active {' '.join(units)}").stdout.split()


def active(machine: Machine) -> bool:
    return states(machine, *SERVICES, "license.target") == ["active"] * 6


def answers(machine: Machine) -> bool:
    """Whether the pages do: their service is active before they can."""
    return "HTTP/2 200" in machine.attempt(f"curl --silent --head https://{NAME}/login/").stdout


def main_process(machine: Machine, unit: str) -> str:
    return machine.types(f"systemctl show --property=MainPID --value {unit}").strip()


def balance(machine: Machine) -> str:
    return machine.types(
        'sudo -u postgres psql -d license_manager -Atc "SELECT balance_cif FROM ledger_licensebalance'
        f" JOIN license_license ON id = license_id WHERE license_number = '{LICENSE}'\""
    ).strip()


def follows(machine: Machine) -> None:
    """A write by somebody else, of whom nobody tells: the balance is right within moments."""
    before = balance(machine)
    machine.types(
        'sudo -u postgres psql -d license_manager -qc "UPDATE license_exportitem SET cif_fc = cif_fc + 1'
        f" WHERE id = (SELECT min(e.id) FROM license_exportitem e JOIN license_license l ON l.id = license_id"
        f" WHERE license_number = '{LICENSE}')\""
    )
    until(lambda: balance(machine) != before, "the balance follows")


def test_does_it_work(server: Machine) -> None:
    commands = [line.partition("  #")[0].rstrip() for line in INSTALL["9."][0].splitlines()]
    listed, head, check, night, _backup, as_worker, as_web, freshness, audit = map(server.types, commands)
    assert len(re.findall(r"\.(?:service|target|timer)\s+loaded\s+active", listed)) == 7
    assert "HTTP/2 200" in head
    assert "no issues" in check
    assert "0 licenses checked" in night
    for doctor in (as_worker, as_web):
        assert doctor.rstrip().endswith(WELL)
    assert freshness.startswith("0 changes pending")
    assert "0 differences; 0 changes pending" in audit


def test_a_ledger_is_uploaded_loaded_and_seen(server: Machine, page: Page) -> None:
    page.get_by_label("Name").fill("meera")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Ledgers", exact=True).click()
    page.get_by_label("Choose files, or drop them here").set_input_files(CHECKOUT / "samples/dfia-2025.csv")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Confirm and load").click()
    expect(page.get_by_text("Loaded, confirmed by meera")).to_be_visible()
    page.get_by_role("link", name=LICENSE, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"License {LICENSE}")
    follows(server)


@pytest.fixture
def page(server: Machine) -> Iterator[Page]:
    """A window of a person's browser, elsewhere, who believes the authority."""
    resolve = f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{server.https_port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[resolve])
        window = browser.new_page(ignore_https_errors=True)
        window.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        window.goto(f"https://{NAME}/")
        yield window
        browser.close()


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_what_its_unit_says(server: Machine, unit: str) -> None:
    pid = main_process(server, unit)
    status = server.types(f"sudo cat /proc/{pid}/status")
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    inside = f"sudo nsenter --target {pid} --mount --"
    assert server.types(f"{inside} ls -A /home /root") == "/home:\n\n/root:\n"
    assert "Read-only" in server.types(f"{inside} touch /opt/license-manager/backend/x", status=1)
    assert server.types(f"cat /sys/fs/cgroup/system.slice/{unit}.service/memory.max").strip() != "max"


def test_whoever_is_killed_comes_back(server: Machine) -> None:
    before = {unit: main_process(server, unit) for unit in SERVICES}
    server.types(f"sudo kill -9 {' '.join(before.values())}")
    until(
        lambda: active(server) and all(main_process(server, unit) != before[unit] for unit in SERVICES), "all are back"
    )
    follows(server)


def test_postgresql_and_redis_may_be_restarted(server: Machine) -> None:
    server.types("sudo systemctl stop postgresql redis-server; sleep 10; sudo systemctl start postgresql redis-server")
    until(lambda: active(server), "all are up")
    follows(server)


def test_logs_are_turned_while_they_are_written(server: Machine) -> None:
    server.types("sudo logrotate --force /etc/logrotate.d/license-manager")
    follows(server)
    server.types("sudo grep -q . /var/log/celery/worker.log.1")
    until(lambda: server.attempt("sudo grep -q . /var/log/celery/worker.log").returncode == 0, "the log goes on")


def test_the_certificate_is_renewed(server: Machine) -> None:
    serial = f"echo | openssl s_client -connect {NAME}:443 -servername {NAME} 2>/dev/null | openssl x509 -noout -serial"
    before = server.types(serial)
    server.types("sudo certbot renew --quiet --force-renewal --no-random-sleep-on-renew")
    assert server.types(serial) != before


def test_the_target_is_all_of_it(server: Machine) -> None:
    server.types("sudo systemctl stop license.target")
    until(lambda: states(server, *SERVICES) == ["inactive"] * 5, "each has ended, and as it was told to")
    server.types("sudo systemctl start license.target")
    until(lambda: active(server), "all are up")


@contextmanager
def drop_in(machine: Machine, unit: str, lines: str) -> Iterator[None]:
    """What `systemctl edit` adds to a unit."""
    folder = f"/etc/systemd/system/{unit}.service.d"
    machine.types(f"sudo mkdir {folder}; echo {shlex.quote(lines)} | sudo tee {folder}/override.conf > /dev/null")
    machine.types("sudo systemctl daemon-reload")
    try:
        yield
    finally:
        machine.types(f"sudo rm -r {folder}; sudo systemctl daemon-reload")


def test_the_pages_may_be_kept_to_the_machine(server: Machine) -> None:
    [lines] = re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    group = "/sys/fs/cgroup/system.slice/license-web.service/cgroup.procs"
    outwards = (
        "curl --silent --insecure --max-time 10"
        f" --resolve {NAME}:{server.https_port}:10.0.2.2 https://{NAME}:{server.https_port}/login/"
    )
    as_web = f"sudo sh -c 'echo $$ > {group}; {outwards} > /dev/null; echo $?'"
    until(lambda: answers(server), "the pages answer")
    assert server.types(as_web).strip() == "0"
    with drop_in(server, "license-web", lines):
        server.types("sudo systemctl restart license-web")
        until(lambda: answers(server), "the pages answer")
        assert server.types(as_web).strip() != "0"
    server.types("sudo systemctl restart license-web")


def test_a_worker_may_be_without_the_night(server: Machine) -> None:
    lines = re.search(r"the two lines `(.+)` and `(.+)`", PAGE)
    assert lines
    with drop_in(server, "celery-night", "\n".join(lines.groups())):
        server.types("sudo systemctl stop celery-night celery-worker; sudo systemctl start celery-worker")
        assert states(server, "celery-worker", "celery-night") == ["active", "inactive"]
        follows(server)
    server.types("sudo systemctl start celery-night")
    until(lambda: active(server), "all are up")


def test_a_backup_takes_the_place_of_what_is_there(server: Machine) -> None:
    [take] = blocks("drills.md")["Taking a backup"]
    server.types(take)
    then = balance(server)
    follows(server)
    assert balance(server) != then
    told = server.types("\n".join(blocks("drills.md")["Restoring on an installation"]))
    assert told.count(" 0 differences; 0 changes pending") == 2
    assert told.rstrip().endswith(WELL)
    assert balance(server) == then
    follows(server)
    kept = server.types("sudo sh -c 'cd /var/lib/license-backup; stat --format=\"%a %U\" . *'")
    assert kept == "700 license_owner\n" + "600 license_owner\n" * 2


def test_it_begins_by_itself(server: Machine) -> None:
    server.reboots()
    until(lambda: active(server), "all are up")
    follows(server)
    server.types("sudo license-manage worker doctor")


def test_the_upgrade_page(server: Machine) -> None:
    [steps] = [steps for title, steps in blocks("upgrade.md").items() if title == "In this order"]
    page = "\n".join(["NEW=/opt/license-manager-2", *steps])
    told = server.types(page.replace("ADDRESS", f"/home/{PERSON}/{BUNDLE}"))
    assert told.rstrip().endswith(WELL)
    for unit in SERVICES:
        assert "/opt/license-manager-2" in server.types(f"sudo readlink /proc/{main_process(server, unit)}/cwd")
    follows(server)
    [back] = [steps for title, steps in blocks("upgrade.md").items() if title == "Back again"]
    server.types("\n".join(back))
    assert "/opt/license-manager/" in server.types(f"sudo readlink /proc/{main_process(server, 'license-web')}/cwd")
    follows(server)
