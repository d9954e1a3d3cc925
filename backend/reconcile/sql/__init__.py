"""The queries of this app."""

from pathlib import Path

from ledger.sql import queries as ledger_queries
from license.queries import Queries

queries = Queries(Path(__file__).parent, ledger_queries)
