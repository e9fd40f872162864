"""The certificate of web endpoints: two files, read anew when they are renewed."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

log = logging.getLogger("ionian.server")


class CertificateError(Exception):
    """The files are no certificate and its key. The message says which, and why."""


class Certificate:
    """A certificate with its chain, and its key, as PEM files. Raises CertificateError."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._files = (chain, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 and newer
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._load()

    def refresh(self) -> bool:
        """Takes files that have changed, for connections from here on; keeps what it has where they are no certificate."""
        try:
            if self._stamps() == self._seen:
                return False
            self._seen = self._load()
        except CertificateError as error:
            log.warning("the certificate stays what it was: %s", error)
            return False
        log.info("certificate=%s renewed", self._files[0])
        return True

    def _load(self) -> tuple[int, ...]:
        seen = self._stamps()
        chain, key = self._files
        try:
            # Into another context first: half a renewal would take the certificate away from this one.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(chain, key, password=lambda: "")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise CertificateError(
                f"expected PEM files, a certificate with its chain in {chain} and its key without a password in {key}: {error}"
            ) from None
        return seen

    def _stamps(self) -> tuple[int, ...]:
        stamps: list[int] = []
        for file in self._files:
            try:
                facts = file.stat()
            except OSError as error:
                raise CertificateError(f"can't read {file}: {error.strerror}") from None
            stamps += [facts.st_mtime_ns, facts.st_size, facts.st_ino]
        return tuple(stamps)
