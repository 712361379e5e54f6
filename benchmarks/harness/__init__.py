"""What the benchmarks share: measuring in turn, the delay of the event loop, and the report with its limits.

A script adds its figures to a `Report`. Times depend on the machine and on what else it does, so a figure should be a
ratio to something that is measured in the same run, in turn (`in_turn`, `ratios`).
"""

from __future__ import annotations

from harness.loop_delay import LoopDelay
from harness.machine import cpu_of_process
from harness.plot import write_plot
from harness.quiet_rounds import quietest
from harness.redis_server import RedisServer, redis_server
from harness.report import RESULTS, Report
from harness.rounds import Series, Spread, Usage, cpu_ratios, in_turn, measured, percentile, ratios, repeat

__all__ = [
    "RESULTS",
    "LoopDelay",
    "RedisServer",
    "Report",
    "Series",
    "Spread",
    "Usage",
    "cpu_of_process",
    "cpu_ratios",
    "in_turn",
    "measured",
    "percentile",
    "quietest",
    "ratios",
    "redis_server",
    "repeat",
    "write_plot",
]
