"""The benchmarks fail if a limit is exceeded, and compare only what was measured in turn."""

import asyncio
import json
import math
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from harness import LoopDelay, Report, Series, Spread, Usage, cpu_ratios, in_turn, percentile, quietest, ratios, repeat


@pytest.fixture(autouse=True)
def _no_garbage_collection(monkeypatch):
    """The heap of a test process is large, and what garbage costs is not tested here."""
    monkeypatch.setattr("harness.rounds.gc.collect", lambda: 0)


@pytest.fixture
def report(tmp_path):
    return Report(
        "somewhere/example.py", "An example.\n\nMore.", packages=("attrs", "missing-package"), folder=tmp_path
    )


def result_of(tmp_path):
    return json.loads((tmp_path / "example.json").read_text()), (tmp_path / "example.md").read_text()


def test_report_with_all_limits_met_exits_with_0_and_writes_both_files(report, tmp_path, capsys):
    report.add("store", "save", Spread.of([3.0, 1.0, 2.0]), "us", at_most=2)
    report.add("store", "rate", 1000.0, "/s", at_least=1000)
    report.note("A note.")
    assert report.finish() == 0
    result, text = result_of(tmp_path)
    assert result["met"]
    assert result["title"] == "An example."
    assert result["figures"][0]["value"] == 2.0
    assert result["figures"][0]["quartiles"] == [1.5, 2.5]
    assert "attrs" in result["versions"]
    assert "missing-package" not in result["versions"]
    assert {"cores", "processor", "python", "system"} <= set(result["machine"])
    assert "A note." in text
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "limits"), [(2.1, {"at_most": 2}), (0.9, {"at_least": 1}), (math.nan, {"at_most": 2})]
)
def test_report_with_an_exceeded_limit_exits_with_1_and_names_it(report, tmp_path, capsys, value, limits):
    report.add("store", "save", value, "us", **limits)
    assert report.finish() == 1
    result, text = result_of(tmp_path)
    assert not result["met"]
    assert "**exceeded**" in text
    assert "LIMIT EXCEEDED: store: save" in capsys.readouterr().out


async def run_in_turn(**options):
    order = []

    def contestant(name):
        async def run():
            order.append(name)

        return run

    series = await in_turn({name: contestant(name) for name in "abc"}, **options)
    return "".join(order), series


@pytest.mark.asyncio
async def test_in_turn_begins_each_round_with_another_contestant():
    order, series = await run_in_turn(rounds=3, warm_up=0)
    assert order == "abcbcacab"
    assert [len(each.usages) for each in series.values()] == [3, 3, 3]


@pytest.mark.asyncio
async def test_in_turn_does_not_count_the_warm_up():
    order, series = await run_in_turn(rounds=2, warm_up=1)
    assert len(order) == 9
    assert len(series["a"].usages) == 2


@pytest.mark.asyncio
async def test_in_turn_uses_what_a_contestant_has_measured_itself():
    async def measures_itself():
        return Usage(wall=4.0, cpu=2.0)

    series = await in_turn({"a": measures_itself}, rounds=2, calls=2)
    assert series["a"].wall.median == 2e6
    assert series["a"].cpu.median == 1e6


@pytest.mark.asyncio
async def test_repeat_measures_cpu_time_of_work_and_not_of_waiting():
    async def work():
        deadline = time.process_time() + 0.02
        while time.process_time() < deadline:
            pass

    async def wait():
        await asyncio.sleep(0.02)

    series = await in_turn({"work": repeat(work, 2), "wait": repeat(wait, 2)}, rounds=3, calls=2)
    assert series["work"].cpu.median >= 20_000
    assert series["wait"].wall.median >= 19_000
    assert series["wait"].cpu.median < series["work"].cpu.median / 2


def test_ratios_are_taken_round_by_round_and_per_call():
    one = Series(2, [Usage(wall=2, cpu=4), Usage(wall=200, cpu=40), Usage(wall=6, cpu=4)])
    other = Series(1, [Usage(wall=1, cpu=1), Usage(wall=100, cpu=5, children=5), Usage(wall=3, cpu=1)])
    assert ratios(one, other) == Spread(1, 1, 1, 3)
    assert cpu_ratios(one, other) == Spread(2, 2, 2, 3)


async def use_quietest(monkeypatch, others, **options):
    """`others`: the CPU time of other programs, in seconds, before and after each round."""
    readings, names = iter(others), iter("abcdef")
    monkeypatch.setattr("harness.quiet_rounds._cpu_of_others", lambda _: next(readings))

    async def run():
        return next(names)

    return await quietest(run, **options)


@pytest.mark.asyncio
async def test_quietest_repeats_disturbed_rounds_until_enough_were_quiet(monkeypatch):
    used, most = await use_quietest(monkeypatch, [0, 9, 9, 9, 9, 12, 12, 12], rounds=2, attempts=9)
    assert used == ["b", "d"]
    assert most == 0


@pytest.mark.asyncio
async def test_quietest_after_all_attempts_uses_the_least_disturbed_rounds(monkeypatch):
    used, most = await use_quietest(monkeypatch, [0, 9e9, 9e9, 9e9 + 50, 0, 9e9], rounds=1, attempts=3)
    assert used == ["b"]
    assert most > 0.3


@pytest.mark.asyncio
async def test_quietest_without_statistics_of_the_system_uses_the_first_rounds(monkeypatch):
    used, most = await use_quietest(monkeypatch, [None, None], rounds=2, attempts=3)
    assert used == ["a", "b"]
    assert math.isnan(most)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1, 100), (0, 1)])
def test_percentile_is_a_measured_value(share, expected):
    assert percentile(range(100, 0, -1), share) == expected


@pytest.mark.asyncio
async def test_loop_delay_counts_each_timer_that_a_blocked_loop_has_missed():
    async with LoopDelay() as delay:
        time.sleep(0.05)  # noqa: ASYNC251 - blocks the loop on purpose
    assert max(delay.all) >= 45
    assert sum(each > 20 for each in delay.all) >= 20
    # The thread slept; it did not wait for a core.
    assert max(delay.own) >= 45
