"""Where time goes in PostgreSQL: by the `.sql` file whose statement takes it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from harness import HERE

OTHERS = "others"


class Shares:
    """What each statement took of all that was done within `counted`."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._whole = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        from django.db import connection

        start = time.perf_counter()
        with connection.execute_wrapper(self._timed):
            yield
        self._whole += time.perf_counter() - start

    def percent(self) -> dict[str, list[float]]:
        """By file, as a table of one round, the most first; what takes less than a hundredth, or is in no file, is
        "others". "between them" is Python, with BEGIN and COMMIT."""
        taken = Counter({"between them": self._whole - self._taken.total()})
        for name, seconds in self._taken.items():
            taken[name if seconds > self._whole / 100 else OTHERS] += seconds
        return {"all": [100]} | {name: [seconds / self._whole * 100] for name, seconds in taken.most_common()}

    def _timed(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, *rest)
        finally:
            self._taken[_files().get(sql, OTHERS)] += time.perf_counter() - start


@cache
def _files() -> dict[str, str]:
    """The name of each file, by its text as it is run."""
    from ledger.sql import queries as ledger
    from reconcile.sql import queries as reconcile

    return {
        queries.load(path.stem): path.name
        for app, queries in (("ledger", ledger), ("reconcile", reconcile))
        for path in (HERE.parent / "backend" / app / "sql").glob("*.sql")
    }
