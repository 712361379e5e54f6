"""Hooks that schemathesis loads: they give every second request credentials that the emulator knows.

With random credentials alone every response would be an error.
"""

from __future__ import annotations

import os
import random
from typing import Any

import schemathesis

KNOWN = {name.removeprefix("INTEROP_"): value for name, value in os.environ.items() if name.startswith("INTEROP_")}
GRANTS: list[dict[str, str]] = [
    {"GrantType": "refresh_token", "RefreshToken": "REFRESH_TOKEN"},
    {"GrantType": "urn:ietf:params:oauth:grant-type:device_code", "DeviceCode": "DEVICE_CODE"},
    {"GrantType": "authorization_code"},
]
RNG = random.Random(8628)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if not isinstance(case.body, dict) or RNG.random() < 0.5:
        return
    case.body["ClientSid"] = KNOWN["CLIENT_SID"]
    if "GrantType" in case.body:
        case.body.pop("ClientSecret", None)
        case.body |= {name: KNOWN.get(value, value) for name, value in RNG.choice(GRANTS).items()}
