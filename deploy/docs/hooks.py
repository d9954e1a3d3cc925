"""What `make docs` does besides what mkdocs.yml says. Each warning fails the build (`strict`).

- `folder/*.md` in the navigation stands for each page of that folder, by name.
- A link to a file outside docs/, or to a folder, which the site does not have, becomes its text. On a forge it stays a
  link, so the file must be there. So must what README.md links to, with its anchors.
- What a forge shows as a list is one here, too, where no blank line is before it. One within a list must be indented by
  four spaces, and have a blank line before it where it follows a paragraph.
- No page loads anything from elsewhere.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

CHECKOUT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
BEFORE_LIST = re.compile(r"(\A|(?:^|\n)(?![-*] |[|#>\s]|\d\. )[^\n]+)\n([-*] )")
LIST = re.compile(r"\s*(?:[-*]|\d\.) ")
NOT_NESTED = re.compile(r"^ {1,3}(?:[-*]|\d+\.) .*", re.MULTILINE)
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
LOADED_BY_CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]*)""", re.IGNORECASE)
LOADED_BY = ("src", "srcset", "poster", "data")

log = get_plugin_logger("docs")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = [_every_page_of(entry, Path(config.docs_dir)) for entry in config.nav or []]
    return config


def _every_page_of(entry: object, docs: Path) -> object:
    if isinstance(entry, dict):
        return {title: _every_page_of(what, docs) for title, what in entry.items()}
    if isinstance(entry, list):
        return [_every_page_of(what, docs) for what in entry]
    if isinstance(entry, str) and "*" in entry:
        return [path.relative_to(docs).as_posix() for path in sorted(docs.glob(entry))]
    return entry


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: object) -> str:
    parts = re.split(FENCED, markdown)  # prose, and at every other place what is fenced
    for wrong in (line for prose in parts[::2] for line in [*_no_lists(prose), *NOT_NESTED.findall(prose)]):
        log.warning("%s: no list here, though it is one on a forge: %r", page.file.src_uri, wrong)

    def without_what_is_not_here(link: re.Match[str]) -> str:
        text, target, _ = link.groups()
        path = (Path(config.docs_dir, page.file.src_uri).parent / target).resolve()
        is_here = path.is_relative_to(config.docs_dir) and not path.is_dir()
        if ":" in target or not target or is_here:
            return link[0]
        if not path.exists():
            log.warning("%s: there is no %s", page.file.src_uri, target)
        return text

    parts[::2] = [LINK.sub(without_what_is_not_here, BEFORE_LIST.sub(r"\1\n\n\2", prose)) for prose in parts[::2]]
    return "".join(parts)


def _no_lists(prose: str) -> Iterator[str]:
    """Lines that a list within a list begins with, and that are taken for the end of the paragraph before them."""
    for block in re.split(r"\n\s*\n", prose):
        first, *rest = block.strip("\n").splitlines() or [""]
        if first.startswith(" ") and not LIST.match(first):
            yield from filter(LIST.match, rest)


def on_env(env: Environment, *, files: Files, **_: object) -> Environment:
    for _, target, anchor in LINK.findall((CHECKOUT / "README.md").read_text(encoding="utf-8")):
        file = files.get_file_from_path(target.removeprefix("docs/"))
        if ":" in target or not target:
            continue
        if not (CHECKOUT / target).exists():
            log.warning("README.md: there is no %s", target)
        elif anchor and not (file and file.page and anchor in (file.page.present_anchor_ids or ())):
            log.warning("README.md: %s has no anchor %s", target, anchor)
    return env


def on_post_build(config: MkDocsConfig) -> None:
    site = Path(config.site_dir)
    remote = [
        f"{path.relative_to(site)} loads {address}"
        for path in sorted(site.rglob("*"))
        if path.suffix in (".html", ".css", ".svg")
        for address in _loaded_from_elsewhere(path)
    ]
    if remote:
        raise Abort("\n".join(remote))


def _loaded_from_elsewhere(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    yield from LOADED_BY_CSS.findall(text)
    if path.suffix == ".html":
        reader = _Reader()
        reader.feed(text)
        yield from (address for address in reader.loaded if ELSEWHERE.match(address))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in LOADED_BY or (tag, name) == ("link", "href")]
