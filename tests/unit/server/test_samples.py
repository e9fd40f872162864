"""What containers used in the last hour: kept in bounded memory, and put together for charts."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ionian.protocol.spec import Resources
from ionian.protocol.workers import Sampled
from ionian.server import samples
from ionian.server.auth import Actor
from ionian.server.containers import Container
from ionian.server.dashboard import curves
from ionian.server.samples import Curve, Sample, Samples


def container(number: int) -> Container:
    actor = Actor("container", f"ta-{number}", environment="main")
    return Container(number, f"ta-{number}", "wo-1", "ap-1", "fu-1", "f", actor)


@dataclass
class There:
    """The containers of one worker."""

    by_number: dict[int, Container] = field(default_factory=dict[int, Container])

    def numbered(self, worker_id: str, number: int) -> Container | None:
        return self.by_number.get(number) if worker_id == "wo-1" else None


@pytest.fixture
def kept() -> Samples:
    return Samples(There({number: container(number) for number in (1, 2)}))  # type: ignore[arg-type]


def test_a_sample_is_kept_of_each_container_that_is_known(kept: Samples) -> None:
    kept.received("wo-1", Sampled([1, 2, 9], [0.5, 1.0, 9.0], [10, 20, 90]))
    kept.received("wo-2", Sampled([1], [7.0], [7]))
    assert [(one.cores, one.memory_bytes, one.gpu) for one in kept.of("ta-1").samples()] == [(0.5, 10, -1)]
    last = kept.of("ta-2").last()
    assert last is not None
    assert last.memory_bytes == 20
    assert kept.of("ta-9").last() is None


def test_cards_are_kept_where_a_container_has_some(kept: Samples) -> None:
    kept.received("wo-1", Sampled([1, 2], [0, 0], [0, 0], [-1.0, 0.75], [0, 4096]))
    found = [one for id in ("ta-1", "ta-2") for one in kept.of(id).samples()]
    assert [(one.gpu, one.gpu_memory_bytes) for one in found] == [(-1, 0), (0.75, 4096)]


def test_of_one_container_an_hour_is_kept() -> None:
    curve = Curve()
    for at in range(5 * samples.MOST_SAMPLES):
        curve.add(Sample(at, 0.0, 0.0))
    found = [one.at for one in curve.samples()]
    assert samples.MOST_SAMPLES <= len(found) <= samples.MOST_SAMPLES + 60
    assert found[-1] == 5 * samples.MOST_SAMPLES - 1


def test_what_has_ended_is_known_for_an_hour(kept: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.received("wo-1", Sampled([1], [0.5], [10]))
    now = samples.wall()
    kept.ended(container(1), "memory", "it was over its limit")
    found = kept.find_ended("ta-1")
    assert found is not None
    assert (found.how, found.detail) == ("memory", "it was over its limit")
    assert kept.of("ta-1").last() is not None
    monkeypatch.setattr(samples, "wall", lambda: now + samples.KEEP_S + 60)
    kept.ended(container(2), "stopped", "")
    assert kept.find_ended("ta-1") is None
    assert kept.of("ta-1").last() is None
    assert [one.container.container_id for one in kept.all_ended("main")] == ["ta-2"]
    assert kept.all_ended("other") == []


def test_of_many_that_ended_the_oldest_are_forgotten(kept: Samples) -> None:
    for number in range(samples.MOST_ENDED + 5):
        kept.ended(container(number), "stopped", "")
    assert len(kept.all_ended("main")) == samples.MOST_ENDED
    assert kept.find_ended("ta-4") is None


# --- as charts


def test_a_step_is_the_mean_of_its_samples_and_a_short_gap_is_filled() -> None:
    found = curves.steps([Sample(at, at, 0) for at in (0, 5, 30, 90)], 0, 10, 12)
    assert [[one.at for one in step] for step in found] == [
        [0, 5],
        [5],
        [5],
        [30],
        [30],
        [30],
        [],
        [],
        [],
        [90],
        [],
        [],
    ]


def test_a_container_has_charts_of_what_it_has() -> None:
    plain = [Sample(100 + at, 0.5, 64 << 20) for at in range(0, 60, 5)]
    cpu, memory = curves.charts(plain, 160.0, Resources(cpu_milli=125, memory_mib=128))
    assert (round(cpu.top, 6), cpu.note) == (0.6, "0.125 reserved")
    assert (memory.top, memory.note) == (128 << 20, "128 MiB reserved")
    card = [Sample(100.0, 0.5, 1, 0.75, 5 << 30)]
    assert [one.title for one in curves.charts(card, None, None)] == ["CPU", "Memory", "GPU", "GPU memory"]
    assert all(one.is_empty for one in curves.charts([], None, None))
