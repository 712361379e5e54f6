"""The life of a token in every order of events, to a depth that takes seconds; ``nox -s model`` goes further.

The mutants show that the model can fail: each breaks one rule, and the exploration has to find what it breaks.
"""

import re

import pytest

from tests.model import mutants
from tests.model.explore import Explorer, Scenario
from tests.model.machine import Machine
from tests.model.world import Budget
from twilio_oauth_async.tokens.state import Work

SCENARIOS = [
    Scenario(Budget(faults=1, jumps=1)),
    Scenario(Budget(events=1, jumps=1)),
    Scenario(Budget(events=2), is_signed_in=False),
    Scenario(Budget(faults=1, events=1), is_signed_in=False),
    Scenario(Budget(faults=1, jumps=1, steps=1), is_signed_in=False),
    Scenario(Budget(events=1, steps=1)),
    Scenario(Budget(jumps=2), refresh_lifetime=150.0),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_invariants_hold_in_every_world(scenario):
    found = Explorer(scenario).run()
    assert found.violation is None, str(found)
    assert found.is_complete


LOST = Scenario(Budget(faults=1, jumps=2))
LOGOUT = Scenario(Budget(events=1, jumps=1))

MUTANTS = {
    "no mark": (LOGOUT, {"decide": mutants.instead(Work.MARK, Work.REFRESH)}, "mark is not stored"),
    "no lock": (LOGOUT, {"decide": mutants.without_lock}, "without the lock"),
    "no look under the lock": (
        LOGOUT,
        {"advance": mutants.without_look_under_lock},
        "old refresh token|without revoking",
    ),
    "used before it is saved": (LOGOUT, {"advance": mutants.used_before_saved}, "tried to save"),
    "the wall clock alone": (Scenario(Budget(jumps=1, steps=1)), {"decide": mutants.with_one_clock}, "has expired"),
    "sent again after a loss": (LOST, {"advance": mutants.without_mark_after_loss}, "sent again"),
    "a passing fault taken for a refusal": (LOST, {"advance": mutants.refused_by_503}, "dropped|login is asked for"),
    "its own mark taken for a loss": (LOGOUT, {"decide": mutants.delayed_by_own_mark}, "could be refreshed|no end"),
    "no tombstone": (LOGOUT, {"tombstone": lambda present, now: None}, "deleted sign-in back"),
    "deaf to logouts": (LOGOUT, {"advance": mutants.deaf_to_logouts}, "signed out|deleted sign-in back|neither"),
    "no revocation": (LOGOUT, {"decide": mutants.instead(Work.REVOKE, Work.DELETE)}, "without revoking"),
    "never again after a failure": (LOST, {"advance": mutants.stopped_by_failures}, "neither|could be refreshed"),
    "reads for ever": (LOGOUT, {"advance": mutants.never_read}, "no end"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_model_can_fail(name):
    scenario, functions, violation = MUTANTS[name]
    found = Explorer(scenario, Machine(**functions)).run()
    assert found.violation is not None
    assert re.search(violation, found.violation), str(found)
    assert found.trace
