"""deploy/license-manager.env.example explains every setting, and deploy/license-manage reads what systemd reads."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import env_file
from django_setup import BACKEND, CHECKOUT

EXAMPLE = CHECKOUT / "deploy/license-manager.env.example"
MANAGE = CHECKOUT / "deploy/license-manage"


def test_every_documented_setting_is_explained_in_the_example() -> None:
    page = (CHECKOUT / "docs/configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z].*?) \|", page, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    example = EXAMPLE.read_text(encoding="utf-8")
    named = re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)
    assert set(named) == documented
    assert len(named) == len(documented)
    # each stands under a comment, as a block does that belongs together
    assert not re.search(r"\n\n#?[A-Z_]+=", example)


def test_every_setting_that_is_read_is_documented_in_the_example() -> None:
    """settings.py reads all but PGAPPNAME, which is libpq's."""
    code = (BACKEND / "lmanagement/settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r"""(?:env\.\w+|_seconds|_days|_flag|_list|_redis)\(\s*"([A-Z_]+)\"""", code))
    assert read
    assert read | {"PGAPPNAME"} == set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_example_is_plain_for_systemd_and_for_us() -> None:
    values = env_file.read(EXAMPLE)
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert values[name] == value
            assert not re.search(r"[\s'\"\\#]", value)


@pytest.fixture
def installation(tmp_path: Path) -> dict[str, str]:
    """One whose Python only shows what it is called with, and whose `runuser` whom it is to become."""
    python = tmp_path / "home/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s|" "$SECRET_KEY" "$DATABASE_URL" "$HOME" "${1##*/}" "$2" "$3"\n')
    runuser = tmp_path / "bin/runuser"
    runuser.parent.mkdir()
    runuser.write_text('#!/bin/sh\nprintf "%s %s|" "$1" "$2"\nshift 3\nexec "$@"\n')
    for program in (python, runuser):
        program.chmod(0o755)
    (tmp_path / "etc.env").write_text('# a comment\n\nSECRET_KEY=a$b `c` "d" #e=f\nDATABASE_URL=postgres:///all')
    (tmp_path / "etc.web.env").write_text("DATABASE_URL=postgres:///web\n")
    return {
        "PATH": f"{runuser.parent}:{os.environ['PATH']}",
        "LICENSE_MANAGER_HOME": str(tmp_path / "home"),
        "LICENSE_MANAGER_ENV": str(tmp_path / "etc"),
    }


def license_manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MANAGE, *arguments], env=environment, capture_output=True, text=True)


def test_commands_have_the_settings_of_the_service_whose_user_they_are(installation: dict[str, str]) -> None:
    key = 'a$b `c` "d" #e=f'
    done = license_manage(installation, "owner", "migrate", "--plan me")
    assert done.stdout == f"-u license_owner|{key}|postgres:///all|/nonexistent|manage.py|migrate|--plan me|"
    done = license_manage(installation, "web", "check")
    assert done.stdout == f"-u license_web|{key}|postgres:///web|/nonexistent|manage.py|check||"


@pytest.mark.parametrize("arguments", [(), ("migrate",), ("root", "migrate")])
def test_nobody_else_is_become(arguments: tuple[str, ...], installation: dict[str, str]) -> None:
    done = license_manage(installation, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: license-manage" in done.stderr


@pytest.mark.parametrize("line", ["SECRET secret", "=secret", "SECRET KEY=secret", "export KEY=secret", "KEY =secret"])
def test_a_line_that_says_nothing_is_named_by_its_file_alone(
    line: str, installation: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "etc.env").write_text(f"{line}\n")
    done = license_manage(installation, "web", "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"license-manage: a line of {tmp_path}/etc.env is not NAME=value\n"


@pytest.mark.parametrize("value", ['"secret"', "'secret'", r"sec\ret", " secret", "secret ", "secret\r"])
def test_what_systemd_would_read_otherwise_is_refused(value: str, installation: dict[str, str], tmp_path: Path) -> None:
    """It takes quotes, backslashes and blanks away: services would have another key than commands."""
    (tmp_path / "etc.env").write_text(f"DEBUG=\nKEY={value}\n")
    done = license_manage(installation, "web", "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"license-manage: KEY in {tmp_path}/etc.env must have no quotes, no backslash and no blanks around its value\n"
    )
