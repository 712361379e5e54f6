"""The public suites: their documented use, the reasons for skipped tests, and faults that they find."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.helpers.plugin_project import Project
from twilio_oauth_async.stores import testing

pytest_plugins = ["pytester"]

EXAMPLES = Path(__file__).parents[2] / "examples"

HEAD = """
import contextlib
from twilio_oauth_async.stores.memory import *
from twilio_oauth_async.stores.testing import *
from twilio_oauth_async.stores.testing.values import token

def fixed(store):
    return pytest.fixture(lambda self: lambda: store)
"""

TOKEN_FAULTS = {
    "generation_raises_conflict": """async def save(self, key, stored, *, replaces):
        self._records[token_key(key)] = stored""",
    "delete_leaves_a_tombstone": "async def delete(self, key): self._records.pop(token_key(key), None)",
    "erase_keeps_other_users": """async def erase(self, user):
        for key in [key for key in self._records if key.user.startswith(user)]: del self._records[key]""",
    "erase_removes_every_record": "async def erase(self, user): self._records.pop(token_key(user), None)",
    "lock_has_one_holder": "lock = contextlib.asynccontextmanager(lambda self, key: nothing())",
    "users_are_listed_once": """async def users(self):
        for key in list(self._records): yield key.user""",
    "show_no_secret": "__repr__ = lambda self: repr([each.token.access_token for each in self._records.values()])",
    "pickling": "def __reduce_ex__(self, protocol): return (MemoryTokenStore, ())",
    "separate_records": """async def load(self, key):
        return await super().load(token_key(key).user)""",
}
"""Part of the name of a test, and the method of a memory store that it must reject."""

FLOW_FAULTS = {
    "concurrent_leases": "async def lease(self, ids, owner, seconds): return set(ids)",
    "list_due_returns": """async def list_due(self, limit, *, client_sid, server):
        return [flow for flow in self._flows.values() if not flow.has_ended][:limit]""",
    "grant_is_given_to_the_first": """async def grant(self, id, owner):
        self._flows[id] = attrs.evolve(self._flows[id], state="granted", granted_to=owner)
        return True""",
    "save_of_a_missing_flow": "async def save(self, flow): self._flows[flow.id] = flow",
    "pending_flow_of_the_user": """async def create(self, flow, *, owner, seconds):
        self._by_key.pop(flow.key, None)
        return await super().create(flow, owner=owner, seconds=seconds)""",
    "ended_flow_does_not_end_again": """async def end(self, id, state, problem=None):
        self._flows[id] = attrs.evolve(self._flows[id], state=state, problem=problem, ended_at=self._clock.now())
        return True""",
}
"""As `TOKEN_FAULTS`, for a `FlowStore`."""


@pytest.fixture
def project(pytester):
    pytester.syspathinsert(EXAMPLES)
    return Project(pytester)


def test_documented_example_of_the_suites_runs(project, pytester):
    example = textwrap.dedent(re.search(r"::\n\n((?:    .*\n|\n)+)", testing.__doc__)[1])
    pytester.makepyfile(my_app="from own_token_store import OwnTokenStore as MyTokenStore")
    outcomes = project.run(example, options=("-k", "generation or deleted or processes_see")).parseoutcomes()
    assert set(outcomes) == {"passed", "deselected"}
    assert outcomes["passed"] > 10


def test_skipped_test_prints_which_fixture_is_missing(project):
    tests = (
        f"{HEAD}class TestStore(TokenStoreContract, SharedTokenStoreContract): open_store = fixed(MemoryTokenStore())"
    )
    result = project.run(tests, options=("-rs", "-k", "processes or broken or clocks"))
    for name in ("recipe", "open_store_at", "open_broken_store"):
        result.stdout.fnmatch_lines([f"SKIPPED*no fixture {name}: *"])
    assert "failed" not in result.parseoutcomes()


def test_missing_open_store_fails_with_what_to_define(project):
    result = project.run(f"{HEAD}class TestStore(TokenStoreContract): pass", options=("-k", "missing_key"))
    result.assert_outcomes(errors=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["define the fixture open_store: *"])


def run_faulty(project, kind, fault, name):
    tests = f"""{HEAD}
import attrs
from twilio_oauth_async.stores.keys import token_key

async def nothing(): yield

class Faulty(Memory{kind}Store):
    {fault}

class TestStore({kind}StoreContract):
    @pytest.fixture
    def open_store(self, clock):
        store = Faulty(clock=clock)
        return lambda: store
"""
    return project.run(tests, options=("-k", name)).parseoutcomes()


@pytest.mark.parametrize("name", TOKEN_FAULTS)
def test_token_suite_rejects_a_store_with_a_fault(project, name):
    assert run_faulty(project, "Token", TOKEN_FAULTS[name], name).get("failed", 0) >= 1


@pytest.mark.parametrize("name", FLOW_FAULTS)
def test_flow_suite_rejects_a_store_with_a_fault(project, name):
    assert run_faulty(project, "Flow", FLOW_FAULTS[name], name).get("failed", 0) >= 1
