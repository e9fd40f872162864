"""The files of a certificate: what is refused, and what a renewal changes."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
from tests.certificates import write

from ionian.server.main import CannotServe, Options, serve
from ionian.server.web.certificate import Certificate, CertificateError


def shown(certificate: Certificate) -> bytes:
    """The certificate that a client gets."""
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with certificate.context.wrap_socket(ours, server_side=True):
            pass

    thread = threading.Thread(target=answer)
    thread.start()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with client.wrap_socket(theirs) as connection:
        found = connection.getpeercert(binary_form=True)
    thread.join()
    assert found is not None
    return found


def test_a_renewed_certificate_is_taken_and_half_a_renewal_is_not(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    certificate = Certificate(chain, key)
    first = shown(certificate)
    assert not certificate.refresh()
    (tmp_path / "next").mkdir()
    new_chain, new_key = write(tmp_path / "next")
    os.replace(new_chain, chain)
    assert not certificate.refresh()
    assert shown(certificate) == first
    os.replace(new_key, key)
    assert certificate.refresh()
    assert shown(certificate) != first
    chain.unlink()
    assert not certificate.refresh()


def test_files_that_are_no_certificate_and_key_are_named(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    with pytest.raises(CertificateError, match="No such file"):
        Certificate(tmp_path / "nothing", key)
    with pytest.raises(CertificateError, match="expected PEM files"):
        Certificate(key, chain)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"web_cert": "cert.pem"}, "--web-key is missing"),
        ({"web_key": "key.pem"}, "--web-cert is missing"),
        ({"web_cert": "no.pem", "web_key": "no.pem"}, "can't read no.pem"),
        ({"web_host": "0.0.0.0"}, "crosses the network in the clear"),
    ],
)
def test_a_server_says_at_its_start_what_it_can_not_serve_with(given: dict[str, str], wanted: str) -> None:
    with pytest.raises(CannotServe, match=wanted):
        serve(Options(None, **given))  # type: ignore[arg-type]
