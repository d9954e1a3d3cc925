"""What a line of the log is about, so that a search for a license, a run or an upload finds what became of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

MOST_NAMED = 10
"""In words. A line of JSON has them all, which are no more than an engine's transaction has."""
_about: ContextVar[Mapping[str, int]] = ContextVar("about", default={})  # noqa: B039 (nobody changes it)


@contextmanager
def about(**what: int) -> Iterator[None]:
    """Whatever is logged within, by whomever, is about this, too: `run=7`, `upload=3`, `webhook=1`."""
    token = _about.set({**_about.get(), **what})
    try:
        yield
    finally:
        _about.reset(token)


def subject() -> Mapping[str, int]:
    """What that is now."""
    return _about.get()


def named(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
