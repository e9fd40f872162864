"""What the server tells a collector of OpenTelemetry, where the standard variables name one."""

from .telemetry import Telemetry

__all__ = ["Telemetry"]
