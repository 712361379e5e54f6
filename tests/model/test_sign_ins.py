"""The sign-ins of two pools in every order of events, to a depth that takes seconds; ``nox -s model`` goes further.

The mutants show that the model can fail: each breaks one rule, and the exploration has to find what it breaks.
"""

import re

import pytest

from tests.model import sign_in_mutants as mutants
from tests.model.sign_in_explore import Explorer, Scenario
from tests.model.sign_in_world import Budget, Rules
from twilio_oauth_async.sign_in.flow_steps import Act, Happening

SHORT = {"interval": 20.0, "lifetime": 25.0}
"""A second process that takes the flow up cannot poll any more."""

FAULT = Scenario(Budget(faults=1))
OUTAGE = Scenario(Budget(outages=1), **SHORT)
EVENT = Scenario(Budget(events=1), **SHORT)
STOP = Scenario(Budget(stops=1))
SHORT_STOP = Scenario(Budget(stops=1), **SHORT)

SCENARIOS = [
    Scenario(Budget(faults=1), lifetime=25.0),
    Scenario(Budget(faults=1), callbacks=(False, True), token="other", **SHORT),
    Scenario(Budget(events=1), lifetime=45.0),
    Scenario(Budget(stops=1), **SHORT),
    Scenario(Budget(steps=1), lifetime=45.0),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_invariants_hold_in_every_world(scenario):
    found = Explorer(scenario).run()
    assert found.violation is None, str(found)
    assert found.is_complete


MUTANTS = {
    "looks once after taking up": (STOP, {"taken_up": mutants.looks_once}, "used again"),
    "polls early after taking up": (Scenario(Budget(events=1)), {"taken_up": mutants.without_pause}, "early poll"),
    "polls early": (FAULT, {"advance": mutants.forgets_interval}, "early poll"),
    "polls without a lease": (STOP, {"decide": mutants.without_lease}, "early poll|used again"),
    "lease by one clock": (STOP, {"decide": mutants.with_monotonic_lease}, "early poll|used again"),
    "a lease as if never lost": (
        Scenario(Budget(events=1, stops=1)),
        {"advance": mutants.renewed_as_if_never_lost},
        "early poll|used again",
    ),
    "does not record the token": (FAULT, {"decide": mutants.instead(Act.GRANT, Act.SAVE_TOKEN)}, "no end"),
    "saves although cancelled": (EVENT, {"advance": mutants.LOST_CANCEL}, "saved for a sign-in"),
    "does not revoke": (EVENT, {"decide": mutants.instead(Act.REVOKE, Act.STOP)}, "dropped"),
    "does not remove": (SHORT_STOP, {"decide": mutants.instead(Act.REMOVE, Act.STOP)}, "token is stored"),
    "drops the token without a lease": (STOP, {"decide": mutants.drops_token_without_lease}, "dropped"),
    "drops the token when it closes": (EVENT, {"decide": mutants.stops_at_once}, "dropped"),
    "blind to a stored token": (FAULT, {"advance": mutants.blind_to_token}, "ended as failed"),
    "blind to a token that arrived": (STOP, {"advance": mutants.blind_to_grant}, "used again"),
    "no grace for the token of another": (STOP, {"decide": mutants.without_grace}, "ended as failed|no end"),
    "no time for the token of another": (OUTAGE, {"decide": mutants.expires_at_once}, "ended as expired"),
    "drops the token after a failure": (FAULT, {"advance": mutants.drops_token_after_one_failure}, "ended as failed"),
    "stopped by a failure": (FAULT, {"advance": mutants.stopped_by_failure}, "no end"),
    "polls after the end": (FAULT, {"advance": mutants.polls_after_the_end}, "early poll|a poll after"),
    "trusts a missing flow": (SHORT_STOP, {"advance": mutants.trusts_missing_flow}, "reported after"),
    "saves without a look": (SHORT_STOP, {"decide": mutants.saves_without_look}, "token is stored|reported after"),
    "deaf to another end": (SHORT_STOP, {"advance": mutants.deaf_to(Happening.NOT_RECORDED)}, "no end"),
    "delivered before reported": (FAULT, {"decide_report": mutants.marked_before_called}, "not reported"),
    "takes a failed call for one that returned": (FAULT, {"advance_report": mutants.called_once}, "not reported"),
    "reported for ever": (FAULT, {"advance_report": mutants.called_again_for_ever}, "no end"),
    "deleted at once": (FAULT, {"may_delete": lambda flow, now: flow.has_ended}, "deleted"),
    "reported without a callback": (
        Scenario(Budget(faults=1), callbacks=(False, True)),
        {"decide_report": mutants.kept_without_callback},
        "not reported",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_model_can_fail(name):
    scenario, functions, violation = MUTANTS[name]
    found = Explorer(scenario, Rules(**functions)).run()
    assert found.violation is not None
    assert re.search(violation, found.violation), str(found)
    assert found.trace
