"""Random runs of a state machine of Hypothesis: the same few in every run of the suite, or as many as are asked for."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

EXAMPLES = int(os.environ.get("TWILIO_OAUTH_MODEL_EXAMPLES", "0"))
"""The number of random runs; 0: the same few in every run of the suite."""


def run_at_random(machine, examples):
    """Run `machine` up to `examples` times, with 25 rules each; raises at the first violation."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,  # and no shrinking: a run of 25 rules is readable as it is
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
