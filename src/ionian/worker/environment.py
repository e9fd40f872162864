"""The environment of user code in a container."""

from __future__ import annotations

from ..protocol.container import RING
from ..protocol.workers import StartContainer
from .devices import Edits
from .images import BuiltImage


def environment_of(ask: StartContainer, image: BuiltImage, devices: Edits) -> dict[str, str]:
    """The image's variables, ours, the devices', the secrets in their order, and `env=` of the function; a later one
    wins. The driver's libraries stay first in LD_LIBRARY_PATH whoever sets it."""
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        **image.env,
    }
    for prefix in ("MODAL", "IONIAN"):
        if ask.container_id:  # a template has none
            env[f"{prefix}_TASK_ID"] = ask.container_id
        env[f"{prefix}_IMAGE_ID"] = ask.function.image_id
        env[f"{prefix}_ENVIRONMENT"] = ask.environment
        env[f"{prefix}_IS_REMOTE"] = "1"
        env[f"{prefix}_CLOUD_PROVIDER"] = "ionian"
        env[f"{prefix}_REGION"] = "local"
    env |= {**devices.env, **ask.secrets, **ask.function.env}
    # RING: a child process finds `ionian` and `modal` too.
    env["PYTHONPATH"] = _joined("/root", env.get("PYTHONPATH", ""), RING)
    return {**env, **devices.search_path(env.get("LD_LIBRARY_PATH", ""))}


def _joined(*paths: str) -> str:
    return ":".join(path for path in paths if path)
