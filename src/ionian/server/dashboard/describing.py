"""What a function is and asks for, in a few words."""

from __future__ import annotations

from ionian.protocol.spec import FunctionSpec, Resources, Scaling, Schedule

from ..web.addresses import endpoints


def kind_of(spec: FunctionSpec) -> str:
    """A word for what it is."""
    if spec.class_spec is not None:
        return "class"
    if any(True for _ in endpoints(spec)):
        return "web"
    return "generator" if spec.is_generator else "function"


def asks_for(resources: Resources) -> str:
    """`0.125 CPU · 128 MiB · 1 × A100`."""
    parts = [f"{resources.cpu_milli / 1000:g} CPU", _memory(resources.memory_mib)]
    parts += [" or ".join(f"{gpu.count} × {gpu.model}" for gpu in resources.gpus)] if resources.gpus else []
    return " · ".join(parts)


def _memory(mib: int) -> str:
    return f"{mib / 1024:g} GiB" if mib >= 1024 else f"{mib} MiB"


def scaled(scaling: Scaling) -> str:
    """`2 to 10 containers`, or nothing where it is left to the server."""
    low, high = scaling.min_containers, scaling.max_containers
    if high:
        return f"{low} to {high} containers"
    return f"at least {low} container{'s' if low > 1 else ''}" if low else ""


def schedule_of(spec: FunctionSpec) -> str:
    """The same of a function; nothing where it has none."""
    return "" if spec.schedule is None else when(spec.schedule)


def when(schedule: Schedule) -> str:
    """`every 5 minutes`, `0 9 * * 1 (Europe/Berlin)`."""
    if schedule.cron:
        return schedule.cron if schedule.timezone == "UTC" else f"{schedule.cron} ({schedule.timezone})"
    units = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
    parts = [(getattr(schedule, unit), unit) for unit in units if getattr(schedule, unit)]
    return "every " + " ".join(f"{number:g} {unit if number != 1 else unit[:-1]}" for number, unit in parts)
