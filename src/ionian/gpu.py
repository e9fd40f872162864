"""GPUs: the strings that `gpu=` takes, and what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .arguments import wrong
from .exception import DeprecationError, InvalidError

if TYPE_CHECKING:
    from .protocol.spec import GpuRequest

_MODALS = "T4 L4 A10 A10G L40S A100 A100-40GB A100-80GB RTX-PRO-6000 H100 H200 B200 B200+"
_OTHERS = (
    "A2 A16 A30 A40 L40 V100 V100-16GB V100-32GB P4 P40 P100 K80 GH200 GB200 B100 B300 A4000 A5000 A6000 "
    "RTX-2080TI RTX-3060 RTX-3070 RTX-3080 RTX-3090 RTX-4060 RTX-4070 RTX-4080 RTX-4090 RTX-5060 RTX-5070 "
    "RTX-5080 RTX-5090 RTX-6000-ADA MI210 MI250 MI300X"
)
MODELS = frozenset(["ANY", *_MODALS.split(), *_OTHERS.split()])
"""Modal's names, and other cards that people have at home and at work. ANY takes what there is."""

MOST = 64
"""GPUs of one container: the server refuses more."""

FORM = r"(?P<model>[^:!]+)(?P<exact>!?)(:(?P<count>[^:]*))?"


def parse_gpus(value: Any) -> list[GpuRequest]:
    """The alternatives that `gpu=` names, best first: `"A100-80GB:4"`, or a list of such strings.

    Raises InvalidError for an unknown name (with the nearest known one) or a wrong count.
    """
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        if not items:
            raise wrong("gpu", "at least one GPU in the list", items)
        return [_parse(item) for item in items]
    return [_parse(value)]


def _parse(value: Any) -> GpuRequest:
    import re

    from .protocol.spec import GpuRequest

    expected = 'a string such as "A100", "A100-80GB:4" or "any"'
    if not isinstance(value, str):
        raise wrong("gpu", expected, value)
    found = re.fullmatch(FORM, value.strip().upper())
    if found is None:
        raise wrong("gpu", expected, value)
    model = found["model"]
    if model not in MODELS:
        raise InvalidError(
            f"gpu: {value!r} is no GPU that Ionian knows{_nearest(model)}; it knows {_known()}"
        )
    count = found["count"]
    if count is not None and not (count.isdecimal() and 1 <= int(count) <= MOST):
        raise wrong("gpu", f"a whole number of GPUs, 1 to {MOST}, after the colon", value)
    return GpuRequest(model=model, count=int(count or 1), exact=bool(found["exact"]))


def _nearest(model: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(model, MODELS, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _known() -> str:
    return ", ".join(sorted(MODELS - {"ANY"})) + ' and "any"'


# --- retired: `gpu=modal.gpu.A100(count=2, size="80GB")` is a string now


def _retired(name: str, model: str, count: int) -> str:
    import warnings

    text = model if count == 1 else f"{model}:{count}"
    warnings.warn(f"modal.gpu.{name}(…) is retired; write gpu={text!r}", DeprecationError, stacklevel=3)
    return text


def T4(count: int = 1) -> str:
    """Retired: write `gpu="T4"`."""
    return _retired("T4", "T4", count)


def L4(count: int = 1) -> str:
    """Retired: write `gpu="L4"`."""
    return _retired("L4", "L4", count)


def A10G(count: int = 1) -> str:
    """Retired: write `gpu="A10G"`."""
    return _retired("A10G", "A10G", count)


def L40S(count: int = 1) -> str:
    """Retired: write `gpu="L40S"`."""
    return _retired("L40S", "L40S", count)


def A100(*, count: int = 1, size: str | None = None) -> str:
    """Retired: write `gpu="A100-80GB:2"`."""
    return _retired("A100", f"A100-{size}" if size else "A100", count)


def H100(count: int = 1) -> str:
    """Retired: write `gpu="H100"`."""
    return _retired("H100", "H100", count)


def H200(count: int = 1) -> str:
    """Retired: write `gpu="H200"`."""
    return _retired("H200", "H200", count)


def B200(count: int = 1) -> str:
    """Retired: write `gpu="B200"`."""
    return _retired("B200", "B200", count)
