"""The queries of this app."""

from pathlib import Path

from license.queries import Queries
from reconcile.sql import queries as reconcile_queries

queries = Queries(Path(__file__).parent, reconcile_queries)
