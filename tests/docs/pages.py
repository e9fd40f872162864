"""A page of the docs as what can be run: its programs, the commands on them, and what these are said to print.

In a page, a fenced block is one of
- ```python whose first line is a comment with a file name: a program, written there before the commands run;
- ```sh: commands, one a line; a line that ends in a backslash goes on;
- ```text right behind commands: what they print; a line `…` stands for any lines, and `…` in a line for any text;
- another language: not run.
`<!-- not run: the reason -->` on the line above a block leaves it out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE_NAME = re.compile(r"#\s*(?P<name>[\w./-]+\.py)\s*$", re.MULTILINE)
LANGUAGES = {"python", "sh", "text", "toml", "dockerfile"}


@dataclass
class Command:
    """A command of a page, and what the page says that it prints; no lines: anything."""

    line: str
    output: list[str] = field(default_factory=list[str])


@dataclass
class Page:
    """The programs of a page by their file names, and its commands in order."""

    path: Path
    programs: dict[str, str] = field(default_factory=dict[str, str])
    commands: list[Command] = field(default_factory=list[Command])


def all_pages() -> list[Path]:
    """The README and every page of the docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(path: Path) -> Page:
    """What can be run of a page. Raises ValueError for a block that is neither run nor excused."""
    page = Page(path)
    previous = ""
    for match in FENCE.finditer(path.read_text()):
        language, body = match["language"], match["body"]
        if language not in LANGUAGES:
            raise ValueError(f"{path.name}: expected a block of {sorted(LANGUAGES)}, got {language!r}")
        if match["reason"]:
            previous = ""
            continue
        if language == "python":
            named = FILE_NAME.match(body)
            if not named:
                raise ValueError(f"{path.name}: expected a first line such as `# hello.py` in: {body[:60]!r}")
            page.programs[named["name"]] = body
        elif language == "sh":
            lines = body.replace("\\\n", " ").splitlines()
            page.commands += [Command(line) for line in lines if line.strip() and not line.startswith("#")]
        elif language == "text" and previous == "sh":
            page.commands[-1].output = body.splitlines()
        previous = language
    return page


def matches(expected: list[str], printed: str) -> bool:
    """Whether a text holds these lines, one below the other; `…` stands for what may differ."""
    parts = [r"(?:.*\n)*?" if line.strip() == "…" else line_pattern(line) for line in expected]
    return re.search("".join(parts), printed.rstrip() + "\n", re.MULTILINE) is not None


def line_pattern(line: str) -> str:
    return ".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ \t]*\n"
