"""Real text from this machine, cut in passages: manuals, documentation, docstrings and comments.

It runs on the user's side only and needs nothing but the standard library.
"""

from __future__ import annotations

import gzip
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

SHORTEST, LONGEST = 200, 600
"""Characters of a passage: enough to say something, and little enough to say one thing."""

MAX_FILE_BYTES = 4 << 20
"""Longer files are data more often than text."""

PLAIN = {"", ".txt", ".md", ".rst", ".text", ".news", ".readme"}

DOCSTRING = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
COMMENT = re.compile(r"(?:^[ \t]*#[ \t]?[^\n]*\n){3,}", re.MULTILINE)
COMMENT_MARK = re.compile(r"^[ \t]*#+[ \t]?", re.MULTILINE)

TROFF_TEXT_MACRO = re.compile(r"^\.(?:B|I|BR|IR|BI|IB|RB|RI|SM|Nm|Ar|Fl|Xr|Em)\s+", re.MULTILINE)
TROFF_MACRO = re.compile(r"^[.'].*$", re.MULTILINE)
TROFF_ESCAPE = re.compile(r"\\f(?:\[\w*\]|\(\w\w|.)|\\[&|^%]|\\s[-+]?\d")
TROFF_SPECIAL = {r"\-": "-", r"\(aq": "'", r"\(cq": "'", r"\(oq": "'", r"\(dq": '"', r"\e": "\\", r"\ ": " "}

CODE = re.compile(r"[=<>{}|\\_]|\(self|\bdef |\bself\.|>>>")

NO_LETTER = dict.fromkeys(c for c in range(128) if not chr(c).isalpha())

SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+")


TELL_EVERY = 20_000
"""A line for so many passages: reading all of a machine's text takes some seconds."""


def collect(folder: Path | None, limit: int) -> list[str]:
    """Up to `limit` distinct passages of the text files below `folder`, or of this machine's own documentation."""
    sources = [text_files(folder)] if folder else machine_files()
    streams = [(passage for path in paths for passage in passages(path)) for paths in sources]
    found: list[str] = []
    for passage in islice(distinct(in_turn(streams)), limit):
        found.append(passage)
        if len(found) % TELL_EVERY == 0:
            print(f"  {len(found):,} passages", flush=True)
    return found


def machine_files() -> list[Iterator[Path]]:
    """The manuals, the documentation of packages, and the Python source that this machine has."""
    manuals = (path for section in range(1, 9) for path in files(Path(f"/usr/share/man/man{section}")))
    documentation = (p for p in text_files(Path("/usr/share/doc")) if not p.name.startswith("changelog"))
    standard_library = python_files(Path(sysconfig.get_path("stdlib")))
    packages = (path for lib in sorted(Path("/usr/lib").glob("python3*")) for path in python_files(lib))
    return [manuals, documentation, standard_library, packages]


def in_turn(streams: Iterable[Iterator[str]]) -> Iterator[str]:
    """One of each, again and again, until all are at their end: no single source fills the whole."""
    waiting = list(streams)
    while waiting:
        for stream in list(waiting):
            passage = next(stream, None)
            if passage is None:
                waiting.remove(stream)
            else:
                yield passage


def text_files(folder: Path) -> Iterator[Path]:
    """The files below a folder that hold text, by their names."""
    for path in files(folder):
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        if suffix in PLAIN or suffix == ".py":
            yield path


def python_files(folder: Path) -> Iterator[Path]:
    return (path for path in files(folder) if path.suffix == ".py")


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in an order that is the same each time; no links."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                yield Path(path)


def passages(path: Path) -> Iterator[str]:
    """The passages of one file; none where it can't be read or is no text."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data[:MAX_FILE_BYTES].decode()
    except (OSError, EOFError, UnicodeDecodeError):
        return
    if path.suffix == ".py":
        blocks = python_prose(text)
    elif "/man/" in str(path):
        blocks = paragraphs(plain_troff(text))
    else:
        blocks = paragraphs(text)
    yield from filter(is_prose, cut(blocks))


def python_prose(source: str) -> Iterator[str]:
    """The docstrings and the longer comments of Python source."""
    for match in DOCSTRING.finditer(source):
        yield from paragraphs(match[1] or match[2] or "")
    for match in COMMENT.finditer(source):
        yield from paragraphs(COMMENT_MARK.sub("", match[0]))


def plain_troff(source: str) -> str:
    """A manual page without its markup."""
    text = TROFF_ESCAPE.sub("", source)
    for escape, plain in TROFF_SPECIAL.items():
        text = text.replace(escape, plain)
    # A macro that only sets its words in bold or italics keeps them; the others part paragraphs.
    return TROFF_MACRO.sub("\n", TROFF_TEXT_MACRO.sub("", text))


def paragraphs(text: str) -> Iterator[str]:
    """What stands between blank lines, each on one line."""
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(block.split())
        if line:
            yield line


def cut(blocks: Iterable[str]) -> Iterator[str]:
    """Passages of SHORTEST to LONGEST characters: short blocks joined, long ones cut where a sentence ends."""
    passage = ""
    for block in blocks:
        for sentence in SENTENCE_END.split(block):
            if len(sentence) > LONGEST:  # a table or a list of names
                continue
            if len(passage) + len(sentence) + 1 > LONGEST:
                if len(passage) >= SHORTEST:
                    yield passage
                passage = ""
            passage = f"{passage} {sentence}" if passage else sentence
        if len(passage) >= SHORTEST:
            yield passage
            passage = ""


def is_prose(passage: str) -> bool:
    """False for tables, code and ASCII art."""
    letters = len(passage.translate(NO_LETTER))
    if letters < 0.7 * len(passage) or passage.count(" ") < len(passage) / 11:
        return False
    return len(CODE.findall(passage)) <= len(passage) / 100


def distinct(passages: Iterable[str]) -> Iterator[str]:
    """Each passage once: licences and notices stand in many files."""
    seen: set[int] = set()
    for passage in passages:
        key = hash(passage.lower())
        if key not in seen:
            seen.add(key)
            yield passage
