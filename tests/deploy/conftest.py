"""What tests of an installation look at it with: programs that the system has, or may be given."""

import os
import shutil

import pytest

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
"""A person's own often lacks the last two."""


def program(name: str, package: str) -> str:
    """Where it is. Without it the test is skipped, but in CI, whose .ci/run installs it: there that is a failure."""
    if found := shutil.which(name, path=PATH):
        return found
    message = f"{name} is not installed here (Debian, Ubuntu: apt-get install {package})"
    if os.environ.get("TOOLS_ARE_THERE"):
        pytest.fail(message)
    pytest.skip(message)
