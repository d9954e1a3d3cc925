"""`manage.py backup`: a file that pg_restore reads, for nobody else, or no file at all; and what is deleted for it."""

import fcntl
import os
import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from embedded.binaries import find_postgres_bindir
from reconcile import backup
from reconcile.models import Backup
from tests.conftest import one, sql
from tests.engine.sessions import make_licenses
from tests.roles import url_of

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{find_postgres_bindir()}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def as_owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With the role and the password of license-backup.service."""
    url = urlsplit(url_of("license_owner"))
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "USER", url.username)
        patch.setitem(connection.settings_dict, "PASSWORD", url.password or "")
        yield
        connection.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_owner_takes_one_that_can_be_restored_and_nobody_else_can_read(
    as_owner: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_licenses(3)
    before = os.umask(0)
    try:
        call_command("backup", str(tmp_path))
    finally:
        os.umask(before)
    [file] = tmp_path.iterdir()
    taken = Backup.objects.get()
    assert taken.file == str(file)
    assert taken.size_bytes == file.stat().st_size > 10_000
    assert taken.began_at <= taken.finished_at
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert capsys.readouterr().out == f"{file}: {file.stat().st_size / 1024:.1f} KB\n"
    data = subprocess.run(
        ["pg_restore", "--data-only", "--table=license_license", "--file=-", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\n".join(line.split("\t")[1] for line in data.stdout.splitlines() if "\t2026-01-01\t" in line) == "1\n2\n3"


def test_what_is_too_old_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    database = connection.settings_dict["NAME"]
    others = ["other-2026-01-01T00-00-00.dump", f"{database}-kept.dump", f"{database}-2026-01-01T00-00-00.dump.gz"]
    ours = [f"{database}-2026-01-{day:02}T03-30-00.dump" for day in range(1, 5)]
    for name in (*others, *ours, f"{database}-2026-01-04T03-30-00.dump{backup.PARTLY}"):
        (tmp_path / name).touch()
    taken, deleted = backup.take(tmp_path, keep=3)
    assert [path.name for path in deleted] == ours[:2]
    assert names(tmp_path) == sorted([*others, *ours[2:], Path(taken.file).name])


def test_the_new_one_stays_where_a_clock_was_wrong(tmp_path: Path) -> None:
    database = connection.settings_dict["NAME"]
    for day in (1, 2):
        (tmp_path / f"{database}-2999-01-0{day}T03-30-00.dump").touch()
    taken, deleted = backup.take(tmp_path, keep=2)
    assert deleted == []
    assert Path(taken.file).name in names(tmp_path)


def test_its_name_is_the_moment_in_india(tmp_path: Path) -> None:
    taken, _ = backup.take(tmp_path, keep=1)
    in_india = one(
        "SELECT to_char(began_at AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD\"T\"HH24-MI-SS') FROM reconcile_backup"
    )
    assert Path(taken.file).name == f"{connection.settings_dict['NAME']}-{in_india}.dump"


def nothing_has_happened(folder: Path) -> bool:
    return names(folder) == ["old.dump"] and not Backup.objects.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "old.dump").touch()
    return tmp_path / "backups"


def test_a_role_that_may_not_read_everything_takes_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = urlsplit(url_of("license_worker"))
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "USER", url.username)
        patch.setitem(connection.settings_dict, "PASSWORD", url.password or "")
        with pytest.raises(CommandError, match=r"pg_dump has made no backup: .*permission denied for table"):
            call_command("backup", str(folder))
        connection.close()
    assert nothing_has_happened(folder)


def test_a_program_that_ends_half_way_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does when the disk is full."""
    program = tmp_path / "pg_dump"
    program.write_text(
        '#!/bin/sh\nfor word; do case $word in --file=*) echo half > "${word#--file=}";; esac; done\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(CommandError, match="it ended with status 1"):
        call_command("backup", str(folder))
    assert nothing_has_happened(folder)


def test_without_the_program_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CommandError, match="install PostgreSQL's client programs"):
        call_command("backup", str(folder))
    assert nothing_has_happened(folder)


def test_two_at_once_are_one(folder: Path) -> None:
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="Somebody is taking a backup into"):
            call_command("backup", str(folder))
    finally:
        os.close(place)
    assert nothing_has_happened(folder)


@pytest.mark.parametrize(("place", "says"), [("nowhere", "No such file or directory"), ("file", "Not a directory")])
def test_a_folder_that_is_none_is_told(place: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=f"{tmp_path / place}: {says}"):
        call_command("backup", str(tmp_path / place))


@pytest.mark.parametrize("keep", ["0", "-1", "many"])
def test_at_least_the_new_one_is_kept(keep: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="at least 1"):
        call_command("backup", str(tmp_path), f"--keep={keep}")
    assert names(tmp_path) == []


def test_how_old_the_newest_is() -> None:
    assert backup.age() is None
    for hours in (30, 3, 300):
        sql(
            "INSERT INTO reconcile_backup (began_at, size_bytes, file) VALUES (now() - %s * interval '1 h', 1, 'x')",
            hours,
        )
    age = backup.age()
    assert age is not None
    assert timedelta(hours=3) <= age < timedelta(hours=3, minutes=5)
