"""Every request that the client can make, for tests that hold for all of them."""

from tests.helpers.raw_server import http
from twilio_oauth_async import DeviceFlow

PASSWORD = "pw-canary"
CLIENT_SECRET = "cs-canary"
DEVICE_CODE = "dc-canary"
CODE = "co-canary"
VERIFIER = "ve-canary"
REFRESH_TOKEN = "rt-canary"
ACCESS_TOKEN = "at-canary"
SECRETS = (PASSWORD, CLIENT_SECRET, DEVICE_CODE, CODE, VERIFIER, REFRESH_TOKEN, ACCESS_TOKEN)

GOOD_CODE = {
    "device_code": DEVICE_CODE,
    "user_code": "ABCD",
    "verification_uri": "activate",
    "expires_in": 300,
    "interval": 5,
}
GOOD_TOKEN = {"access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN, "id_token": "it-canary"}


def refresh(session):
    return session.create_token(
        grant_type="refresh_token", client_sid="OQ1", client_secret=CLIENT_SECRET, refresh_token=REFRESH_TOKEN
    )


def exchange_code(session):
    return session.create_token(
        grant_type="authorization_code",
        client_sid="OQ1",
        client_secret=CLIENT_SECRET,
        code=CODE,
        code_verifier=VERIFIER,
    )


def poll_once(session):
    return session.create_token(
        grant_type="device", client_sid="OQ1", client_secret=CLIENT_SECRET, device_code=DEVICE_CODE
    )


REPEATABLE = {
    "discovery": (lambda session: session.fetch_openid_discovery(), http(200, {"issuer": "https://iam.twilio.com"})),
    "certs": (lambda session: session.fetch_certs(), http(200, {"keys": []})),
    "device code": (
        lambda session: session.create_device_code(client_sid="OQ1", scopes=["openid"]),
        http(201, GOOD_CODE),
    ),
    "user info": (lambda session: session.fetch_user_info(access_token=ACCESS_TOKEN), http(200, {"email": "a@b"})),
}
SENT_ONCE = {
    "refresh": (refresh, http(201, GOOD_TOKEN)),
    "code exchange": (exchange_code, http(201, GOOD_TOKEN)),
    "device token": (poll_once, http(201, GOOD_TOKEN)),
}
EVERY_CALL = {**REPEATABLE, **SENT_ONCE}


def flow(session, **options):
    return DeviceFlow(session, client_sid="OQ1", scopes=["openid"], client_secret=CLIENT_SECRET, **options)
