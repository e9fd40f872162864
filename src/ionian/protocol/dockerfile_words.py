"""How the words of a Dockerfile are read: by the client where it takes them apart, by the worker where it replaces
variables, whose values only a worker knows.

The rules are those of Docker's own shell-like words, which are fewer than a shell's.
"""

from __future__ import annotations

from collections.abc import Mapping


class WordError(ValueError):
    """A word that can't be read; the message says why."""


def split(text: str, escape: str = "\\") -> list[str]:
    """The words of a line, as written: quotes and variables stay."""
    words: list[str] = []
    word, quote = "", ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == escape and quote != "'" and at + 1 < len(text):
            word += text[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            if word:
                words.append(word)
            word = ""
            at += 1
            continue
        word += char
        at += 1
    return [*words, word] if word else words


def expand(word: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """A word without its quotes, its variables replaced. Raises WordError."""
    return _Reader(word, values, escape).read()


class _Reader:
    """Reads one word from its beginning to its end."""

    def __init__(self, text: str, values: Mapping[str, str], escape: str) -> None:
        self.text = text
        self.values = values
        self.escape = escape
        self.at = 0

    def read(self, until: str = "") -> str:
        """To the end, or to the character `until`, which is passed over."""
        out, quote = "", ""
        while self.at < len(self.text):
            char = self.text[self.at]
            if not quote and char == until:
                self.at += 1
                return out
            if char == self.escape and quote != "'":
                out += self._escaped(quote)
            elif char == "$" and quote != "'":
                out += self._variable()
            else:
                self.at += 1
                if char == quote:
                    quote = ""
                elif char in "'\"" and not quote:
                    quote = char
                else:
                    out += char
        if quote or until:
            raise WordError(f"expected {quote or until} at the end of {self.text!r}")
        return out

    def _escaped(self, quote: str) -> str:
        """What a backslash stands for: in double quotes it is itself before most characters."""
        after = self.text[self.at + 1 : self.at + 2]
        self.at += 2
        if not after or (quote and after not in ('"', "$", self.escape)):
            return self.escape + after
        return after

    def _variable(self) -> str:
        self.at += 1
        braced = self.text.startswith("{", self.at)
        self.at += braced
        begin = self.at
        while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] == "_"):
            self.at += 1
        name = self.text[begin : self.at]
        if not braced:
            return self.values.get(name, "") if name else "$"
        if not name:
            raise WordError(f"expected the name of a variable after ${{ in {self.text!r}")
        if self.text.startswith("}", self.at):
            self.at += 1
            return self.values.get(name, "")
        return self._with_modifier(name)

    def _with_modifier(self, name: str) -> str:
        """`${name:-word}` and its kin; without the colon an empty value counts as one."""
        colon = self.text.startswith(":", self.at)
        self.at += colon
        modifier = self.text[self.at : self.at + 1]
        self.at += 1
        if modifier not in ("-", "+", "?") or not modifier:
            raise WordError(f"expected ${{{name}}} with :-, :+ or :? at most, got {self.text!r}")
        word = self.read("}")
        value = self.values.get(name)
        there = bool(value) if colon else value is not None
        if modifier == "+":
            return word if there else ""
        if modifier == "?" and not there:
            raise WordError(f"{name}: {word or 'it has no value'}")
        return (value or "") if there else word
