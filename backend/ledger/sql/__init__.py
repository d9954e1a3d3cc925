"""The queries of the ledger, each in a file named for what it does and opening with a line that says so."""

import re
from functools import cache
from pathlib import Path

_INCLUDE = re.compile(r"/\* include (\w+)\.sql \*/")


@cache
def load(name: str) -> str:
    """The text of `<name>.sql`, with the files that it includes put in their places."""
    text = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda include: load(include[1]), text)
