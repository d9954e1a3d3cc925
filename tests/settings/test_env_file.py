"""A `.env` file means what whoever wrote it meant, or says which line it does not understand."""

from pathlib import Path

import pytest

import env_file


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=value", "value"),
        ("NAME = 'redis://localhost:6379/0'", "redis://localhost:6379/0"),
        ('NAME = "redis://localhost:6379/0"', "redis://localhost:6379/0"),
        ("NAME = True", "True"),
        ("  export NAME=value  ", "value"),
        ("NAME=", ""),
        ("NAME=''  # nothing", ""),
        ("NAME='#a b' # comment", "#a b"),
        ("NAME=a#b  # comment", "a#b"),
        ("NAME= # comment", ""),
        ("NAME=a=b'c\"", "a=b'c\""),
        (r'NAME="a \"b\" \\ \n $HOME"', r'a "b" \ \n $HOME'),
        (r"NAME='a\b'", r"a\b"),
        ("NAME=first\nNAME=second", "second"),
    ],
)
def test_a_line(line: str, value: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"\ufeff# comment\r\n\r\n{line}\r\n".encode())
    assert env_file.read(tmp_path / ".env") == {"NAME": value}


@pytest.mark.parametrize("line", ["NAME", "NAME value", "1NAME=x", "NAME='secret", "NAME=\"secret'", "NAME='secret'x"])
def test_what_is_no_line_is_named_and_not_quoted(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"OTHER=x\n{line}\n")
    with pytest.raises(ValueError, match=r"\.env, line 2, must be of the form") as raised:
        env_file.read(tmp_path / ".env")
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"NAME=\xff\n")
    with pytest.raises(ValueError, match=r"\.env cannot be read: "):
        env_file.read(tmp_path / ".env")


def test_no_file_sets_nothing(tmp_path: Path) -> None:
    assert env_file.read(tmp_path / ".env") == {}
    assert env_file.read(tmp_path) == {}  # somebody's virtual environment may have that name
