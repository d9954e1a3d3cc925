"""`make pages`: what each page takes with LICENSES=100000 licenses, as a ratio to a bill of entry without lines: a
look-up by primary key and an empty page, asked for in the same rounds. Only the ratios mean anything.

A page is asked for as by a person who may see all of it, without the network: middleware, queries, template.
"""

import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import world  # sets Django up

# isort: split
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client

from desk.balance_pdf import as_pdf
from desk.balance_sheet import MAX_SHEETS, as_workbook
from desk.files import explained
from harness import HERE, ratios, take_turns
from ledger import find
from ledger.engine import recompute
from ledger.find import Wanted
from ledger.models import BillOfEntry
from license.models import SionNorm


class PlainRow(NamedTuple):
    """An import item with something left, as pages_plain.sql yields it."""

    license_id: int
    currency: str
    balance_cif: Decimal
    norm_id: int
    hs_code: str
    description: str
    quantity: Decimal
    value: Decimal


LICENSES = int(os.environ.get("LICENSES", "100000"))
ROUNDS = int(os.environ.get("ROUNDS", "15"))
BATCH = 500
EMPTY = "nothing but an empty page"


def main() -> None:
    world.call_command("migrate", verbosity=0)
    world.grow(LICENSES)
    for statement in (HERE / "pages.sql").read_text().split(";\n"):
        if statement.strip():
            world.run(statement, {"n": LICENSES})
    for first in range(1, LICENSES + 1, BATCH):
        recompute(range(first, min(first + BATCH, LICENSES + 1)))
    world.run("VACUUM ANALYZE")
    empty = f"/bills-of-entry/{BillOfEntry.objects.create(number='empty').pk}/"
    number = f"{LICENSES // 2 + 1:010}"
    pages = {
        EMPTY: empty,
        "home": "/",
        "the list": "/licenses/",
        "its middle page": f"/licenses/?page={LICENSES // 100}",
        "by balance, the greatest first": "/licenses/?sort=-balance",
        "by exporter": "/licenses/?sort=exporter",
        "one state: overdrawn": "/licenses/?state=overdrawn",
        "one state: active": "/licenses/?state=active",
        "one state: changes pending": "/licenses/?state=pending",
        "search: a whole number": f"/licenses/?q={number}",
        "search: part of a file number": f"/licenses/?q={number[-6:]}/am",
        "search: one exporter": "/licenses/?q=spices+1",
        "search: a seventh of all": "/licenses/?q=surat",
        "search: nothing": "/licenses/?q=nothing+like+that",
        "a license": f"/licenses/{number}/",
        "items of a norm": "/items/?norm=E1",
        "find: a word of one in twenty": "/find/?item=sugar",
        "find: two words": "/find/?item=sugar+977",
        "find: a norm": "/find/?norm=E1",
        "find: an HS code": "/find/?item=0101",
        "find: a word that nothing has": "/find/?item=uranium",
        "allotments": "/allotments/",
        "bills of entry": "/bills-of-entry/",
        "match": "/match/",
        "match: balances": "/match/?kind=imbalance",
        "match: one license": f"/match/?license={number}",
    }
    settings.ALLOWED_HOSTS = ["testserver"]
    auditor = User.objects.create_user("bench")
    auditor.groups.add(Group.objects.get(name="auditor"))
    client = Client()
    client.force_login(auditor, backend="django.contrib.auth.backends.ModelBackend")

    def load(address: str) -> float:
        took = world.seconds(lambda: world.check(is_so=client.get(address).status_code == 200, what=address))
        return took * 1000

    check_totals()
    [(version,)] = world.rows("SELECT version()")
    print(f"{version}\n{LICENSES} licenses of 8 items of 4 lines, {ROUNDS} rounds; median (lowest to highest)")
    measure(load, pages)
    print("while a tenth of the licenses have changes pending:")
    world.run(
        "INSERT INTO ledger_licensechange (license_id, source, operation) "
        "SELECT id, 'bench', 'UPDATE' FROM license_license WHERE id %% 10 = 0",
        (),
    )
    world.run("ANALYZE ledger_licensechange")
    measure(load, {name: pages[name] for name in (EMPTY, "home", "the list", "one state: changes pending")})
    make_files(client)


def check_totals() -> None:
    """What Find adds up of all licenses is what a plain query yields, filtered and added up here; or this ends."""
    norm = SionNorm.objects.get(code="E1")
    asked: dict[str, tuple[Wanted, Callable[[PlainRow], bool]]] = {
        "sugar": (Wanted("sugar"), lambda row: row.description.startswith("Sugar ")),
        "sugar 977": (
            Wanted("sugar 977"),
            lambda row: row.description.startswith("Sugar ") and row.description.endswith(" 977"),
        ),
        "norm E1": (Wanted(norm_id=norm.pk), lambda row: row.norm_id == norm.pk),
        "HS 0101": (Wanted("0101"), lambda row: row.hs_code.startswith("0101")),
        "uranium": (Wanted("uranium"), lambda _: False),
    }
    quantities: dict[str, Decimal] = dict.fromkeys(asked, Decimal(0))
    values: dict[str, dict[tuple[str, int], list[Decimal]]] = {name: {} for name in asked}
    with connection.chunked_cursor() as cursor:
        cursor.execute((HERE / "pages_plain.sql").read_text())
        for row in map(PlainRow._make, cursor):
            for name, (_, is_one) in asked.items():
                if is_one(row):
                    quantities[name] += row.quantity
                    of_license = values[name].setdefault((row.currency, row.license_id), [row.balance_cif, Decimal(0)])
                    of_license[1] += row.value
    for name, (wanted, _) in asked.items():
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for (currency, _), least in values[name].items():
            sums[currency] += min(least)
        found = find.totals(wanted)
        plain = ({"KGS": quantities[name]} if quantities[name] else {}, dict(sums), len(values[name]))
        world.check(is_so=(found.quantities, found.values, found.licenses) == plain, what=f"totals of {name}: {plain}")
    print(f"the totals that Find says of {', '.join(asked)} are those of a plain query")


def make_files(client: Client) -> None:
    """Print how long each kind of file takes, made once."""
    sheets = list(explained([f"{n:010}" for n in range(1, MAX_SHEETS + 1)]))
    print(f"files: of {LICENSES} licenses, or balance sheets of {sum(sheet.lines for sheet in sheets)} lines")
    for name, make in {
        "balance sheets as PDF": lambda: as_pdf(sheets).read(),
        "balance sheets as XLSX": lambda: as_workbook(sheets).read(),
        "the list as XLSX": lambda: b"".join(client.get("/licenses.xlsx")),
        "the list as CSV": lambda: b"".join(client.get("/licenses.csv")),
    }.items():
        took = world.seconds(lambda make=make, name=name: world.check(is_so=len(make()) > 0, what=name))
        print(f"{name:32} {took:5.1f} s")


def measure(load: Callable[[str], float], pages: dict[str, str]) -> None:
    """Ask for each page once a round, after each has been asked for once, and print what that took."""
    for address in pages.values():
        load(address)
    took_ms = take_turns({name: lambda address=address: load(address) for name, address in pages.items()}, ROUNDS)
    for name, values in took_ms.items():
        times = ratios(values, took_ms[EMPTY])
        print(
            f"{name:32} {statistics.median(times):5.1f} x ({min(times):.1f} to {max(times):.1f}), "
            f"{statistics.median(values):6.1f} ms"
        )


if __name__ == "__main__":
    sys.exit(main())
