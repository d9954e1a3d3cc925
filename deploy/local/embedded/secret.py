"""Files for the owner's eyes."""

import os
import secrets
from pathlib import Path


def write_private_file(path: Path, text: str) -> None:
    """At every moment the path holds the old text or all of the new one, readable by the owner alone."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)


def get_password(path: Path) -> str:
    """The password in the file, which is made on first use."""
    if not path.exists():
        write_private_file(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text().strip()
