"""The queries of this app."""

from pathlib import Path

from license.queries import Queries

queries = Queries(Path(__file__).parent)
