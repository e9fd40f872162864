"""Amazon's signature, by the example of its own documentation."""

from __future__ import annotations

import datetime

from ionian.worker.images.aws import sign

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}


def test_a_request_is_signed_as_the_documentation_signs_it() -> None:
    signed = sign(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        b"",
        {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        "us-east-1",
        "iam",
        KEYS,
        datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.UTC),
    )
    assert signed["authorization"].endswith(
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
