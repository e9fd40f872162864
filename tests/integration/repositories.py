"""A server of git repositories for tests, which asks for a login."""

from __future__ import annotations

import base64
import http.server
import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(root: Path, user: str, password: str) -> Generator[str]:
    """Serves the repositories below a folder by `git http-backend`: host and port."""
    right = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            if self.headers["Authorization"] != right:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            asked = {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers["Content-Type"] or "",
                "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
                "HTTP_GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
                "PATH": os.environ["PATH"],
            }
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            said = subprocess.run(
                ["git", "http-backend"], input=body, env=asked, capture_output=True, check=False
            ).stdout
            head, _, content = said.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in {**fields, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def push(root: Path, name: str, tag: str, files: dict[str, str]) -> None:
    """Makes a repository with one commit, which has a tag."""
    folder = root / name
    folder.mkdir(parents=True)
    for path, content in files.items():
        (folder / path).write_text(content)
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all"], ["tag", tag]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
