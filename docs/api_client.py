"""A small client of the API (docs/api.md): who has so much of an input, and an allotment of it; and balances that are
followed: all of them at first, later what has changed since, how far being kept in a file.

    export API_URL=https://desk.example/api/v1 API_TOKEN=lbe_…
    python api_client.py sugar 100 KGS USD 0000000009
    python api_client.py follow position.txt

It needs Python alone. Money and quantities are text in JSON; they become Decimals here, and never floats.
"""

import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import uuid4


def ask(path: str, body: Any = None, **query: object) -> Any:
    """The answer to a GET, or to a POST where there is a body. Ends with what is wrong, where something is."""
    address = f"{os.environ['API_URL']}{path}?{urlencode(query)}"
    headers = {"Authorization": f"Bearer {os.environ['API_TOKEN']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(address, data, headers), timeout=30) as answer:  # noqa: S310 (the address is yours)
            return json.load(answer)
    except HTTPError as error:
        problem = json.load(error)
        sys.exit(" ".join([problem["detail"], *problem.get("overdraws", [])]))


def main(item: str, quantity: str, unit: str, currency: str, company_iec: str) -> None:
    proposal = ask("/proposals", {"item": item, "unit": unit, "currency": currency, "quantity": quantity})
    if Decimal(proposal["missing"]):
        sys.exit(f"{proposal['missing']} of {quantity} are nowhere to be had.")
    wanted = ("license_number", "serial_number", "quantity", "cif_fc")
    shares = [{name: share[name] for name in wanted} for share in proposal["shares"]]
    allotment = ask("/allotments", {
        "company_iec": company_iec, "item_name": item, "required_quantity": quantity, "shares": shares,
        "key": f"{uuid4()}",
    })  # fmt: skip
    print(f"Allotment {allotment['id']} to {allotment['company']}:")
    for line in allotment["lines"]:
        print(f"{line['quantity']} of item {line['serial_number']} of license {line['license_number']}")


def follow(file: str) -> None:
    far = Path(file)
    if far.exists():
        after = int(far.read_text())
    else:
        after = ask("/changes")["next"]  # before the list: what changes meanwhile is in both
        for license in all_licenses():
            show(license)
    more = True
    while more:
        part = ask("/changes", after=after, limit=500)
        for change in part["items"]:
            show(change)
        after, more = part["next"], part["more"]
        far.write_text(f"{after}")


def all_licenses() -> list[Any]:
    """Once more where one has come or gone meanwhile: the pages were others then."""
    found: list[Any] = []
    part = ask("/licenses", sort="number", limit=500)
    count = part["count"]
    while part["items"] and part["count"] == count:
        found += part["items"]
        part = ask("/licenses", sort="number", limit=500, offset=len(found))
    return found if part["count"] == count else all_licenses()


def show(row: Any) -> None:
    """A license, or a change of one."""
    balance = row["balance"]
    name = row["license_number"] or f"license {row['license_id']}, which is gone"
    print(f"{name}: {Decimal(balance['balance_cif']) if balance else 'none'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["follow"]:
        follow(sys.argv[2])
    else:
        main(*sys.argv[1:6])
