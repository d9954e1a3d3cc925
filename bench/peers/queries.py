"""The queries of the peers."""

from pathlib import Path

from ledger.sql import queries as ledger
from license.queries import Queries

queries = Queries(Path(__file__).parent, ledger)
