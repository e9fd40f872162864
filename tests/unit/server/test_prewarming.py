from __future__ import annotations

from ionian.protocol.spec import FunctionSpec, Scaling
from ionian.server.prewarming import Prewarming
from ionian.server.server import Server


def test_templates_are_made_first_of_what_keeps_containers_then_of_what_needed_one_last(
    server: Server,
) -> None:
    prewarming = Prewarming(server)
    for tag in ("b", "c", "b", "a", "c"):
        prewarming.starting(tag)
    specs = [FunctionSpec(tag, tag, "main", tag) for tag in ("never", "a", "b", "c")]
    specs.append(FunctionSpec("kept", "kept", "main", "kept", scaling=Scaling(min_containers=1)))
    specs.append(FunctionSpec("alive", "alive", "main", "alive"))
    ordered = sorted(
        specs, key=lambda spec: prewarming.likelihood(spec, int(spec.tag == "alive")), reverse=True
    )
    assert [spec.tag for spec in ordered] == ["kept", "alive", "c", "a", "b", "never"]
