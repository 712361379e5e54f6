"""The rules without a server: values in, decisions out."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.endpoints.issuer import TokenIssuer
from twilio_oauth_async.emulator.endpoints.keys import KeyRing
from twilio_oauth_async.emulator.messages.refusal import UnknownUserCodeError
from twilio_oauth_async.emulator.rules.device_codes import DeviceCodes
from twilio_oauth_async.emulator.rules.ids import Ids, normalize_user_code
from twilio_oauth_async.emulator.rules.model import App, Now, Policy, User
from twilio_oauth_async.emulator.rules.state import State

WALL = datetime(2026, 1, 1, tzinfo=UTC)


class Repeating(Ids):
    """Hands the same user code out twice."""

    def __init__(self) -> None:
        super().__init__(1)
        self._codes = ["BBBB-BBBB", "BBBB-BBBB", "CCCC-CCCC"]

    def user_code(self) -> str:
        return self._codes.pop(0)


def test_no_two_pending_codes_are_the_same() -> None:
    devices = DeviceCodes(Policy(), Repeating())
    now = Now(seconds=0, wall=WALL)
    app = App(sid="OQ", name="App")
    assert devices.issue(app, (), (), now).user_code == "BBBB-BBBB"
    assert devices.issue(app, (), (), now).user_code == "CCCC-CCCC"


def test_expiring_what_nobody_has() -> None:
    with pytest.raises(UnknownUserCodeError):
        DeviceCodes(Policy(), Ids(1)).expire("BBBB-BBBB", Now(seconds=0, wall=WALL))


@pytest.mark.parametrize(
    ("early", "tolerated"),
    [(0.0, True), (0.001, True), (0.0011, False)],
)
def test_a_poll_may_be_early_by_no_more_than_rounding(early: float, tolerated: bool) -> None:
    devices, app = DeviceCodes(Policy(), Ids(1)), App(sid="OQ", name="App")
    code = devices.issue(app, (), (), Now(seconds=0, wall=WALL)).device_code
    errors: list[str] = []
    for seconds in (1.0, 6.0 - early):
        with pytest.raises(Exception, match=r"pending|slow") as refused:
            devices.redeem(code, app, Now(seconds=seconds, wall=WALL))
        errors.append(refused.value.args[0])
    assert errors[1] == ("authorization_pending" if tolerated else "slow_down")


def test_forgiving_a_typed_code() -> None:
    assert normalize_user_code(" wdjb\N{EN DASH}mjht\t") == "WDJBMJHT"


def test_no_secret_in_any_repr() -> None:
    emulator = Emulator(client_secret="canary-secret", auth_token="canary-token")
    for thing in (emulator, emulator.add_app("x"), emulator.policy, emulator._backend):  # pyright: ignore[reportPrivateUsage]
        assert "canary" not in repr(thing)


def test_no_token_in_the_repr_of_an_answer() -> None:
    ids = Ids(1)
    state = State(Policy(), ids, "https://iam.twilio.com")
    issue = state.client_credentials(App(sid="OQ", name="App", secret="s"), ["openid"], [], Now(seconds=0, wall=WALL))
    issue.grant.user = User(sid="US", first_name="A", last_name="B", email="c")
    answer = TokenIssuer(state, KeyRing(ids), "https://iam.twilio.com", "ES256").issue(issue, Now(seconds=0, wall=WALL))
    for token in (answer.access_token, answer.refresh_token, answer.id_token):
        assert token is not None
        assert token not in repr(answer)


@pytest.mark.parametrize("missing", ["jinja2", "joserfc"])
def test_a_missing_package_names_the_extra(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None\nimport twilio_oauth_async.emulator"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'twilio-oauth-async[emulator]'" in done.stderr
    assert done.returncode == 1


def test_a_mistake_of_our_own_is_not_blamed_on_an_extra() -> None:
    script = "import sys; sys.modules['twilio_oauth_async.emulator.server'] = None\nimport twilio_oauth_async.emulator"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install" not in done.stderr
    assert done.returncode == 1
