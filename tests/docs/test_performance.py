"""The benchmarks' report: it renews the tables and leaves what people wrote."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import one_after_the_other, percentile
from benchmarks.report import BEGIN, END, own_table, peer_table, write
from tests.docs.pages import ROOT


def test_the_page_has_a_place_for_the_tables() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert 0 < text.index(BEGIN) < text.index(END)


def test_only_what_stands_between_the_marks_is_renewed(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, {"call": {"p50_us": 240.0, "p99_us": 500.0, "per_s": 120_000.0}}, {})
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "240 µs" in text


def test_a_peer_that_is_missing_says_why_and_others_are_compared() -> None:
    ours = {"call": {"p50_us": 240.0, "p99_us": 500.0, "per_s": 120_000.0}}
    peers = {
        "ray-actor": {"p50_us": 1000.0, "p99_us": 2000.0, "per_s": 3000.0, "version": "2.60"},
        "celery": {"missing": "redis-server"},
    }
    table = peer_table(ours, peers)
    assert "Ray, actors 2.60 | 1,000 µs | 2,000 µs | 3,000 | 40.0 times as many" in table
    assert "not measured: redis-server" in table


def test_a_measurement_that_failed_says_so_in_its_row() -> None:
    assert "| the reason |" in own_table({"million": {"missing": "the reason"}})


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0


def test_calls_are_warmed_up_before_they_are_measured() -> None:
    seen: list[int] = []
    one_after_the_other(seen.append, 20)
    assert len(seen) == 22
