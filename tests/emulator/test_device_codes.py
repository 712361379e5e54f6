"""`DeviceCodes`, without HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from twilio_oauth_async.emulator.rules.device_codes import DeviceCodes
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Now, Policy
from twilio_oauth_async.emulator.rules.user_codes import UnknownUserCodeError

WALL = datetime(2026, 1, 1, tzinfo=UTC)


class RepeatingIds(Ids):
    """Returns the first user code twice."""

    def __init__(self) -> None:
        super().__init__(1)
        self._codes = ["BBBB-BBBB", "BBBB-BBBB", "CCCC-CCCC"]

    def user_code(self) -> str:
        return self._codes.pop(0)


def test_user_code_in_use_is_not_issued_again() -> None:
    devices = DeviceCodes(Policy(), RepeatingIds())
    now = Now(seconds=0, wall=WALL)
    app = App(sid="OQ", name="App")
    assert devices.issue(app, (), (), now).user_code == "BBBB-BBBB"
    assert devices.issue(app, (), (), now).user_code == "CCCC-CCCC"


def test_expire_unknown_user_code_raises() -> None:
    with pytest.raises(UnknownUserCodeError):
        DeviceCodes(Policy(), Ids(1)).expire("BBBB-BBBB", Now(seconds=0, wall=WALL))


@pytest.mark.parametrize(
    ("early", "tolerated"),
    [(0.0, True), (0.001, True), (0.0011, False)],
)
def test_poll_may_be_one_millisecond_early(early: float, tolerated: bool) -> None:
    devices, app = DeviceCodes(Policy(), Ids(1)), App(sid="OQ", name="App")
    code = devices.issue(app, (), (), Now(seconds=0, wall=WALL)).device_code
    errors: list[str] = []
    for seconds in (1.0, 6.0 - early):
        with pytest.raises(Exception, match=r"pending|slow") as caught:
            devices.redeem(code, app, Now(seconds=seconds, wall=WALL))
        errors.append(caught.value.args[0])
    assert errors[1] == ("authorization_pending" if tolerated else "slow_down")
