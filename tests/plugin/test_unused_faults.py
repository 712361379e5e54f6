"""The fixtures report faults that did not fire, and serve synchronous tests."""

import pytest

pytest_plugins = ["pytester"]

UNUSED = "faults that did not fire: <Fault on('poll').respond(503), 0 hits>."


def test_fault_that_did_not_fire_fails_the_test(auto_project):
    result = auto_project.run(
        """
async def test_async(twilio_oauth_emulator):
    twilio_oauth_emulator.faults.on("poll").respond(503)

def test_sync(twilio_oauth_emulator_in_thread):
    twilio_oauth_emulator_in_thread.faults.on("poll").respond(503)

async def test_without_effect(twilio_oauth_emulator):
    twilio_oauth_emulator.faults.on("poll")
"""
    )
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines([f"*{UNUSED.replace('[', '[[]')}*"] * 2)
    result.stdout.fnmatch_lines(["*faults without an effect, say what goes wrong: <Fault on('poll'), 0 hits>*"])


def test_report_can_be_switched_off(auto_project):
    result = auto_project.run(
        """
import pytest

@pytest.fixture
def twilio_oauth_report_unused_faults():
    return False

async def test_it(twilio_oauth_emulator):
    twilio_oauth_emulator.faults.on("poll").respond(503)
"""
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("options", ["", '"interval": 7, "app_name": "Mine"'])
def test_synchronous_test_uses_the_emulator_in_a_thread(auto_project, options):
    result = auto_project.run(
        f"""
import urllib.request
import pytest

@pytest.fixture
def twilio_oauth_emulator_options():
    return {{{options}}}

def test_it(twilio_oauth_emulator_in_thread):
    e = twilio_oauth_emulator_in_thread
    assert e.policy.interval == {7 if options else 1}
    with urllib.request.urlopen(e.activation_url) as response:
        assert response.status == 200
"""
    )
    result.assert_outcomes(passed=1)
