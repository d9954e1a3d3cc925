"""Ledgers that people upload: a worker previews them, somebody confirms or rejects, a worker loads them.

Rows in PostgreSQL are the truth about an upload; Celery only carries hints to work on it. Whoever works on one has a
lease, which it renews as it gets on: what a dead worker had taken is taken again, three times in all. The preview is
the loader's own, in transactions that are rolled back (`icegate.load.preview`). What became of a license is written in
the transaction in which it is loaded, so that no repetition can tell it otherwise.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

from django.core.files.uploadedfile import UploadedFile
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from ledger.acting import acting
from ledger.icegate.ledger import ParsedFile
from ledger.icegate.load import (
    STEPS,
    AnotherLoadError,
    Change,
    Changes,
    Follower,
    Loaded,
    Status,
    batches,
    load,
    preview,
)
from ledger.icegate.parse import parse_bytes
from ledger.models import Upload, UploadedLicense, UploadFile, UploadState
from ledger.sql import load as load_sql
from license.about import about, named

logger = logging.getLogger(__name__)

MAX_FILES = 50
MAX_BYTES = 10 * 1024 * 1024
"""Of all files of an upload: some 100,000 lines."""
LEASE_SECONDS = 180
"""Longer than a load waits for another one, and than any step of it."""
ATTEMPTS = 3
HINT_SECONDS = 60
"""A worker drops a message that is older: `check_uploads` has been there by then."""
CONTENT_DAYS = 7
"""How long the files themselves are kept, and somebody may confirm them."""
MOST_PROBLEMS = 500
"""Of a file; the others are counted."""
MOST_LOGGED = 500
"""Licenses of an upload; its page has all."""
ROWS_AT_ONCE = 20
"""Licenses, each with all of its changes."""
AT_WORK = (UploadState.PREVIEW, UploadState.LOAD)


class RefusedError(Exception):
    """Nothing was taken in. Says why and what to do, in sentences."""


# ── What people do ────────────────────────────────────────────────────────────────────────────────────────────────────


def receive(files: "Sequence[UploadedFile[Any]]", *, by: str, form: UUID) -> Upload:
    """Keep files and have a worker preview them; the same files from the same form are there already. Raises
    RefusedError."""
    if not files:
        raise RefusedError("Choose one file or several.")
    if len(files) > MAX_FILES:
        raise RefusedError(
            f"These are {len(files)} files; {MAX_FILES} at most are taken at once. Upload them in parts."
        )
    refuse_too_much(sum(file.size or 0 for file in files))
    with transaction.atomic(durable=True):
        upload, is_new = Upload.objects.get_or_create(form=form, defaults={"uploaded_by": by})
        sent = [(file.name or "", file.read()) for file in files]
        if not is_new and sent != list(upload.files.order_by("pk").values_list("name", "content")):
            upload, is_new = Upload.objects.create(form=uuid4(), uploaded_by=by), True
        if is_new:
            for name, content in sent:
                UploadFile.objects.create(upload=upload, name=name, size=len(content), content=content)
    if is_new:
        with about(upload=upload.pk):
            logger.info("%s is received from %s, files: %s", upload, by, len(files))
            _announce(upload.pk)
    return upload


def refuse_too_much(size: int) -> None:
    """Raises RefusedError where so many bytes are more than an upload may have."""
    if size > MAX_BYTES:
        raise RefusedError(
            f"These are {-(-size // 1024**2)} MB; {MAX_BYTES // 1024**2} MB at most are taken at once. Upload them in "
            "parts; a single file that is larger is loaded by manage.py import_icegate."
        )


def confirm(upload_id: int, seen: UUID | None, *, by: str) -> bool:
    """Have a worker load what the preview of this id has shown. False: that is no longer to be decided."""
    is_ours = _decide(upload_id, seen, state=UploadState.LOAD, decided_by=by, asked_at=Now())
    if is_ours:
        with about(upload=upload_id):
            logger.info("upload %s is confirmed by %s", upload_id, by)
            _announce(upload_id)
    return is_ours


def reject(upload_id: int, seen: UUID | None, *, by: str) -> bool:
    """Load none of it, and forget the files. False: that is no longer to be decided."""
    with transaction.atomic(durable=True):
        is_ours = _decide(upload_id, seen, state=UploadState.REJECTED, decided_by=by, finished_at=Now())
        if is_ours:
            UploadFile.objects.filter(upload=upload_id).update(content=None)
    if is_ours:
        with about(upload=upload_id):
            logger.info("upload %s is rejected by %s", upload_id, by)
    return is_ours


def preview_again(upload_id: int, seen: UUID | None, *, force: bool, ledger_date: date | None) -> bool:
    """Have a worker preview it with other options. False: it is no longer to be decided."""
    is_ours = _decide(
        upload_id, seen, state=UploadState.PREVIEW, is_forced=force, ledger_date=ledger_date, asked_at=Now()
    )
    if is_ours:
        _announce(upload_id)
    return is_ours


def _decide(upload_id: int, seen: UUID | None, **changes: object) -> bool:
    """The first who comes does it."""
    return bool(
        Upload.objects.filter(pk=upload_id, state=UploadState.PREVIEWED, lease=seen).update(percent_done=0, **changes)
    )


def _announce(upload_id: int) -> None:
    """Let a worker know; a message that is lost is made up by `check_uploads`. Raises nothing."""
    from ledger.tasks import work_off_upload

    try:
        work_off_upload.apply_async(args=(upload_id,), retry=False, expires=HINT_SECONDS)
    except Exception as error:  # noqa: BLE001 (kombu's, redis' and the socket's errors have no common base)
        logger.warning("no worker could be told of upload %s: %s: %s", upload_id, type(error).__name__, error)


# ── What workers do ───────────────────────────────────────────────────────────────────────────────────────────────────


def left() -> list[int]:
    """The uploads that a worker should take: nobody has, or whoever did is dead."""
    return list(_free().order_by("pk").values_list("pk", flat=True))


def work_off(upload_id: int) -> None:
    """Preview or load an upload, if that is to be done and nobody is at it. What another load or the database prevents
    is left to be taken again."""
    with about(upload=upload_id):
        _work_off(upload_id)


def _work_off(upload_id: int) -> None:
    upload = _take(upload_id)
    if upload is None:
        return
    try:
        if upload.state == UploadState.PREVIEW:
            _preview(upload)
        else:
            _load(upload)
    except AnotherLoadError as error:
        logger.info("%s is left to be taken again: %s", upload, error)
        _let_go(upload, f"{error}.")
    except Error as error:  # of the database, whatever it is
        logger.exception("%s could not be worked off", upload)
        _let_go(upload, f"the database refused it: {error}")


def _free() -> QuerySet[Upload]:
    return Upload.objects.filter(state__in=AT_WORK).filter(Q(leased_until=None) | Q(leased_until__lt=Now()))


def _take(upload_id: int) -> Upload | None:
    with transaction.atomic(durable=True):
        upload = _free().select_for_update(skip_locked=True).filter(pk=upload_id).first()
        if upload is None:
            return None
        its = Upload.objects.filter(pk=upload_id)
        if upload.attempts >= ATTEMPTS:
            error = upload.error or f"{ATTEMPTS} workers took it, and none came to its end; their logs may say more."
            its.update(state=UploadState.FAILED, finished_at=Now(), error=error)
            logger.error("%s has failed: %s", upload, error)
            return None
        upload.lease = uuid4()
        its.update(
            lease=upload.lease,
            leased_until=Now() + timedelta(seconds=LEASE_SECONDS),
            attempts=upload.attempts + 1,
            percent_done=0,
        )
        return upload


def _let_go(upload: Upload, error: str) -> None:
    Upload.objects.filter(pk=upload.pk, lease=upload.lease).update(leased_until=None, error=error)


def _is_ours(upload: Upload) -> bool:
    """Whether nobody has taken it since; from here on nobody does, until the transaction ends."""
    return Upload.objects.select_for_update().filter(pk=upload.pk, lease=upload.lease).exists()


class _Bar(Follower):
    """Tells how far a worker is, and renews its lease: in a connection of its own, for the load's transaction is open.

    Reading the files is the first half of the way, their licenses are the other.
    """

    def __init__(self, upload: Upload, files: Iterable[UploadFile]) -> None:
        self._upload = upload
        self._bytes = sum(file.size for file in files)
        self._bytes_read = 0
        self.licenses = 0
        self._licenses_done = 0
        self._steps_since = 0
        self._told = 0

    def __enter__(self) -> Self:
        self._beside = connections.create_connection(DEFAULT_DB_ALIAS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._beside.close()

    def read(self, size: int) -> None:
        self._bytes_read += size
        self._tell()

    def stepped(self, licenses: int) -> None:
        self._steps_since += licenses
        self._tell()

    def loaded(self, outcomes: Sequence[Loaded], changes: Changes) -> None:  # noqa: ARG002
        self._licenses_done += len(outcomes)
        self._steps_since = 0
        self._tell()

    def _tell(self) -> None:
        percent = 50 * self._bytes_read // max(1, self._bytes)
        if self.licenses:
            steps = self._licenses_done * len(STEPS) + self._steps_since
            percent += 50 * steps // (self.licenses * len(STEPS))
        if percent != self._told:
            self._told = percent
            with self._beside.cursor() as cursor:
                cursor.execute(
                    load_sql("upload_progress"),
                    {
                        "upload_id": self._upload.pk,
                        "lease": self._upload.lease,
                        "lease_seconds": LEASE_SECONDS,
                        "percent": min(100, percent),
                    },
                )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a license, with its changes as JSON, which takes far less than objects."""

    file: UploadFile
    license_number: str
    line: int
    status: Status
    notes: tuple[str, ...]
    counts: Counter[str]
    changes: str


class _Teller(_Bar):
    """Tells besides what became of each license of `file`, which is the one at work."""

    file: UploadFile

    def __init__(self, upload: Upload, files: Iterable[UploadFile], tell: Callable[[Iterable[_Outcome]], None]) -> None:
        super().__init__(upload, files)
        self._tell_of = tell

    def loaded(self, outcomes: Sequence[Loaded], changes: Changes) -> None:
        self._tell_of(
            _outcome(self.file, outcome, changes.get(outcome.ledger.license_number, ())) for outcome in outcomes
        )
        super().loaded(outcomes, changes)


def _outcome(file: UploadFile, loaded: Loaded, changes: Sequence[Change]) -> _Outcome:
    return _Outcome(
        file,
        loaded.ledger.license_number,
        loaded.ledger.line,
        loaded.status,
        loaded.notes,
        Counter(f"{change.kind} {change.what}" for change in changes),
        json.dumps([{name: getattr(change, name) for name in Change.__slots__} for change in changes]),
    )


def _preview(upload: Upload) -> None:
    files = _files(upload)
    outcomes: list[_Outcome] = []
    with _Teller(upload, files, outcomes.extend) as bar:
        parsed = _parsed(files, bar)
        for numbers in _together(parsed):
            with preview(force=upload.is_forced, ledger_date=upload.ledger_date, follower=bar) as try_out:
                for file, found in zip(files, parsed, strict=True):
                    bar.file = file
                    try_out([ledger for ledger in found.ledgers if ledger.license_number in numbers])
    with transaction.atomic(durable=True):
        if not _is_ours(upload):
            return
        UploadedLicense.objects.filter(file__upload=upload).delete()
        for file, found in zip(files, parsed, strict=True):
            UploadFile.objects.filter(pk=file.pk).update(
                unreadable=found.unreadable,
                problem_count=len(found.problems),
                problems=[asdict(problem) for problem in found.problems[:MOST_PROBLEMS]],
            )
        _write_down(outcomes, is_loaded=False)
        _over(upload, UploadState.PREVIEWED)


def _together(parsed: Iterable[ParsedFile]) -> Iterator[set[str]]:
    """The numbers of licenses of which all ledgers are previewed in one transaction: a second ledger finds what the
    first one brings."""
    ledgers = {ledger.license_number: ledger for found in parsed for ledger in found.ledgers}
    for batch in batches(ledgers.values()):
        yield {ledger.license_number for ledger in batch}


def _load(upload: Upload) -> None:
    files = _files(upload)
    done = UploadedLicense.objects.filter(file__upload=upload, is_loaded=True)
    is_done = set(done.values_list("file", "license_number"))
    with (
        acting(upload.decided_by, via=f"upload {upload.pk}"),
        _Teller(upload, files, partial(_write_down, is_loaded=True)) as bar,
    ):
        for file, found in zip(files, _parsed(files, bar), strict=True):
            bar.file = file
            load(
                [ledger for ledger in found.ledgers if (file.pk, ledger.license_number) not in is_done],
                force=upload.is_forced,
                ledger_date=upload.ledger_date,
                follower=bar,
            )
    _over(upload, UploadState.LOADED, finished_at=Now())


def _over(upload: Upload, state: UploadState, **changes: object) -> None:
    its = Upload.objects.filter(pk=upload.pk, lease=upload.lease)
    if its.update(state=state, leased_until=None, attempts=0, error="", **changes):
        its_licenses = UploadedLicense.objects.filter(file__upload=upload, is_loaded=state == UploadState.LOADED)
        ordered = its_licenses.order_by("license_number").values_list("license_number", flat=True)
        numbers = list(ordered.distinct()[:MOST_LOGGED])
        logger.info("%s is %s: %s", upload, state, named(numbers), extra={"license": numbers})


def _files(upload: Upload) -> list[UploadFile]:
    """In the order in which they are loaded."""
    return list(upload.files.defer("content").order_by("pk"))


def _parsed(files: Iterable[UploadFile], bar: _Bar) -> list[ParsedFile]:
    parsed = []
    for file in files:
        content = UploadFile.objects.values_list("content", flat=True).get(pk=file.pk)
        parsed.append(parse_bytes(file.name, bytes(content or b"")))
        bar.read(file.size)
    bar.licenses = sum(len(each.ledgers) for each in parsed)
    return parsed


def _write_down(outcomes: Iterable[_Outcome], *, is_loaded: bool) -> None:
    """What somebody whose lease was over has written down stands: he loaded the license, and we found it loaded."""
    rows = (
        UploadedLicense(
            file=outcome.file,
            is_loaded=is_loaded,
            license_number=outcome.license_number,
            line=outcome.line,
            status=outcome.status,
            notes=outcome.notes,
            counts=outcome.counts,
            changes=json.loads(outcome.changes),
        )
        for outcome in outcomes
    )
    while some := list(islice(rows, ROWS_AT_ONCE)):
        UploadedLicense.objects.bulk_create(some, ignore_conflicts=True)


# ── What the night does ───────────────────────────────────────────────────────────────────────────────────────────────


def delete_what_is_old(now: datetime, kept_for: timedelta) -> None:
    """Forget the files of uploads that are some days old, whatever became of them, and all of an upload after
    `kept_for`."""
    before = now - timedelta(days=CONTENT_DAYS)
    old = Upload.objects.filter(uploaded_at__lt=before)
    old.filter(state=UploadState.PREVIEWED).update(
        state=UploadState.REJECTED, finished_at=Now(), error=f"Nobody confirmed it within {CONTENT_DAYS} days."
    )
    _free().filter(asked_at__lt=before).update(
        state=UploadState.FAILED, finished_at=Now(), error=f"No worker took it within {CONTENT_DAYS} days."
    )
    UploadFile.objects.filter(upload__in=old.exclude(state__in=AT_WORK), content__isnull=False).update(content=None)
    Upload.objects.filter(uploaded_at__lt=now - kept_for).delete()
