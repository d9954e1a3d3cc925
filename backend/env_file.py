"""Reads a `.env` file: `NAME=value` as people write it for shells, for systemd, and in Python.

It stands alone: the launcher of the private servers reads the same files as the settings, without Django.
"""

import re
from pathlib import Path

_LINE = re.compile(
    r"""
    (?:export\s+)? (?P<name>[A-Za-z_][A-Za-z0-9_]*) \s*=\s*
    (?: '(?P<literal>[^']*)' | "(?P<escaped>(?:[^"\\]|\\.)*)" | (?P<bare>[^'"\s#].*?)? )
    (?: \s+\#.* )?
    """,
    re.VERBOSE,
)


def read(file: Path) -> dict[str, str]:
    """What the file sets; nothing if there is no such file.

    Spaces around `=`, quotes around the value, `export` and comments are understood. ValueError, of one line: something
    is not. It names the line and does not quote it, as that may be a password.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):  # a folder .env is somebody's virtual environment
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    values = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{file}, line {number}, must be of the form NAME=value or NAME='value'")
        name, literal, escaped, bare = match.groups()
        values[name] = literal or re.sub(r'\\(["\\])', r"\1", escaped or "") or bare or ""
    return values
