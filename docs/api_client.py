"""A small client of the API (docs/api.md): who has so much of an input, and an allotment of it.

    API_URL=https://desk.example/api/v1 API_TOKEN=lbe_… python api_client.py sugar 100 KGS USD 0000000009

It needs Python alone. Money and quantities are text in JSON; they become Decimals here, and never floats.
"""

import json
import os
import sys
from decimal import Decimal
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


if __name__ == "__main__":
    main(*sys.argv[1:6])
