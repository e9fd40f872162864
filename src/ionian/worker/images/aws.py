"""The login of Amazon's registries: a token of twelve hours, had with the keys of an account."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from .registry import RegistryError, Unreachable

ANSWER_S = 20.0
HOST = re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


def login(name: str, secret: Mapping[str, str]) -> str:
    """The login for an image by its name, as base64. Raises RegistryError."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if not secret.get(key):
            raise RegistryError(
                f"expected a secret with the key {key}, and this one has {', '.join(sorted(secret))}"
            )
    match = HOST.match(name)
    region = match[1] if match else secret.get("AWS_REGION") or secret.get("AWS_DEFAULT_REGION", "")
    if not region:
        raise RegistryError("expected a secret with the key AWS_REGION, or a name that says the region")
    china = ".cn" if region.startswith("cn-") else ""
    url = secret.get("AWS_ENDPOINT_URL_ECR") or f"https://api.ecr.{region}.amazonaws.com{china}"
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": TARGET}
    if secret.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = secret["AWS_SESSION_TOKEN"]
    signed = sign(
        "POST", f"{url}/", b"{}", headers, region, "ecr", secret, datetime.datetime.now(datetime.UTC)
    )
    request = urllib.request.Request(f"{url}/", b"{}", signed)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            token = json.load(answer)["authorizationData"][0]["authorizationToken"]
    except urllib.error.HTTPError as error:
        raise RegistryError(f"{url} gives these keys no token: {error.code} {error.reason}") from None
    except OSError as error:
        raise Unreachable(f"{url} is out of reach: {getattr(error, 'reason', error)}") from None
    except (ValueError, LookupError, TypeError):
        raise RegistryError(f"{url} answered with something that is no token") from None
    return str(token)


def sign(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    region: str,
    service: str,
    keys: Mapping[str, str],
    now: datetime.datetime,
) -> dict[str, str]:
    """The headers of a request with Amazon's signature, version 4."""
    parts = urllib.parse.urlsplit(url)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    named = {**headers, "host": parts.netloc, "x-amz-date": stamp}
    names = ";".join(sorted(named))
    lines = [method, parts.path, parts.query, *(f"{name}:{named[name]}" for name in sorted(named)), "", names]
    canonical = "\n".join([*lines, hashlib.sha256(body).hexdigest()])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{keys['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    signature = _mac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    credential = f"Credential={keys['AWS_ACCESS_KEY_ID']}/{scope}"
    return {
        **named,
        "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}",
    }


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
