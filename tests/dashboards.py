"""A person's browser as far as HTTP goes: cookies, links and forms of a home's dashboard."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any

from tests.homes import Home


@dataclass
class Answer:
    """What came back, after redirects."""

    status: int
    text: str
    headers: dict[str, str]
    path: str  # where it is


def link_of(home: Home, *arguments: str) -> str:
    """A link into the dashboard, as the command prints it."""
    done = home.ionian("dashboard", "--no-browser", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout.split()[-1]


@dataclass
class Visitor:
    """Nobody, until `enter`."""

    url: str
    jar: CookieJar = field(default_factory=CookieJar)

    @classmethod
    def of(cls, home: Home) -> Visitor:
        """Who came in by the link of the command line."""
        link = link_of(home)
        found = cls(link.partition("/enter")[0])
        assert found.get(link.removeprefix(found.url)).status == 200
        return found

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """A page."""
        return self._ask(urllib.request.Request(self.url + path, headers=headers or {}))

    def post(self, path: str, form: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        """A form, sent as a browser sends one of this origin."""
        body = urllib.parse.urlencode(form).encode()
        said = {"Origin": self.url} if headers is None else headers
        return self._ask(urllib.request.Request(self.url + path, body, said))

    def press(self, page: str, action: str) -> Answer:
        """The form of a page that has this action, with all that is hidden in it."""
        text = self.get(page).text
        form = re.search(rf'<form method="post" action="{re.escape(action)}">(.*?)</form>', text, re.DOTALL)
        assert form is not None, f"{page} has no form for {action}:\n{text}"
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[1]))
        return self.post(action, hidden)

    def until(self, page: str, *texts: str) -> str:
        """Looks at a page, as an open one does, until it has these texts."""
        shown = digest = ""
        while not all(text in shown for text in texts):
            answer = self.get(page, {"X-Live": digest})
            assert answer.status in (200, 204), answer
            if answer.status == 200:
                shown, digest = answer.text, answer.headers["x-digest"]
        return shown

    def all_pages(self) -> dict[str, str]:
        """Every page to which links lead."""
        found: dict[str, str] = {}
        waiting = ["/"]
        while waiting:
            path = waiting.pop()
            if path in found or "/download/" in path:
                continue
            answer = self.get(path)
            assert answer.status == 200, (path, answer)
            found[path] = answer.text
            waiting += [link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"]*)"', answer.text)]
        return found

    def fetch(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """A file: the path goes out as it stands."""
        address = urllib.parse.urlsplit(self.url)
        assert address.hostname
        with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=100)) as connection:
            cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)
            connection.request("GET", path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def _ask(self, request: urllib.request.Request) -> Answer:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        try:
            answer: Any = opener.open(request, timeout=100)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(
                answer.status, answer.read().decode(), headers, answer.geturl().removeprefix(self.url)
            )
