"""docs/install.md names what is there."""

import re
import subprocess

import pytest
from django.core.management import get_commands

from django_setup import CHECKOUT
from tests.deploy.units import INSTALLED, UNITS, directives

PAGE = (CHECKOUT / "docs/install.md").read_text(encoding="utf-8")


def test_every_file_that_it_copies_is_there() -> None:
    named = {path.rstrip("*") for path in re.findall(rf"{INSTALLED}/((?!\.venv)[\w./*-]+)", PAGE)}
    assert len(named) > 5
    for path in named:
        assert (CHECKOUT / path).exists(), path
    containers = re.findall(r"^cp (\S+)", PAGE, re.MULTILINE)
    assert len(containers) == 2
    for path in containers:
        assert (CHECKOUT / "deploy/containers" / path).exists(), path


def test_every_command_that_it_has_somebody_run_is_one_of_ours() -> None:
    run = re.findall(r"license-manage ([a-z]+) (\w+)", PAGE)
    assert {who for who, _ in run} == {"owner", "web", "worker", "auditor"}
    assert {command for _, command in run} <= set(get_commands())


@pytest.mark.parametrize("page", ["install", "configuration", "upgrade", "drills"])
def test_rights_that_could_not_be_given_are_a_failure(page: str) -> None:
    """By default psql goes on after an error, and ends with status 0."""
    lines = re.findall(r"^.*psql .*roles[.]sql.*$", (CHECKOUT / f"docs/{page}.md").read_text("utf-8"), re.MULTILINE)
    assert lines
    assert all("--set=ON_ERROR_STOP=1" in line for line in lines)


def test_every_unit_is_in_its_table_with_its_user() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| `(\w+)` \|", PAGE, re.MULTILINE))
    assert rows == {path.stem: directives(path.name)["User"][0] for path in UNITS.glob("*.service")}


@pytest.mark.parametrize("block", re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
def test_a_shell_understands_it(block: str) -> None:
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
