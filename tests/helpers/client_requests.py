"""Every request that a session can send, for tests that hold for all of them: name -> (call, successful response)."""

from tests.helpers.raw_server import http
from tests.helpers.scripted_server import ACCESS_TOKEN, CODE_BODY, DEVICE_CODE, PASSWORD
from twilio_oauth_async import DeviceFlow

CLIENT_SECRET = "cs-canary"
AUTHORIZATION_CODE = "co-canary"
CODE_VERIFIER = "ve-canary"
REFRESH_TOKEN = "rt-canary"
SECRETS = (PASSWORD, CLIENT_SECRET, DEVICE_CODE, AUTHORIZATION_CODE, CODE_VERIFIER, REFRESH_TOKEN, ACCESS_TOKEN)
"""All secrets of these requests and of their responses."""

TOKEN_BODY = {"access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN, "id_token": "it-canary"}


def create_token(session, grant_type, **secret):
    return session.create_token(grant_type=grant_type, client_sid="OQ1", client_secret=CLIENT_SECRET, **secret)


RETRIED = {
    "discovery": (lambda session: session.fetch_openid_discovery(), http(200, {"issuer": "https://iam.twilio.com"})),
    "certs": (lambda session: session.fetch_certs(), http(200, {"keys": []})),
    "device code": (
        lambda session: session.create_device_code(client_sid="OQ1", scopes=["openid"]),
        http(201, CODE_BODY),
    ),
    "user info": (lambda session: session.fetch_user_info(access_token=ACCESS_TOKEN), http(200, {"email": "a@b"})),
}
"""Requests that may be repeated after a failure."""

SENT_ONCE = {
    "refresh": (
        lambda session: create_token(session, "refresh_token", refresh_token=REFRESH_TOKEN),
        http(201, TOKEN_BODY),
    ),
    "code exchange": (
        lambda session: create_token(
            session, "authorization_code", code=AUTHORIZATION_CODE, code_verifier=CODE_VERIFIER
        ),
        http(201, TOKEN_BODY),
    ),
    "device token": (
        lambda session: create_token(session, "device", device_code=DEVICE_CODE),
        http(201, TOKEN_BODY),
    ),
}
"""Token requests: what they send can be used once."""

ALL_REQUESTS = {**RETRIED, **SENT_ONCE}


def device_flow(session, **options):
    """Return a `DeviceFlow` with the same client and secret."""
    return DeviceFlow(session, client_sid="OQ1", scopes=["openid"], client_secret=CLIENT_SECRET, **options)
