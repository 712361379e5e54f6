from datetime import UTC, datetime

import attrs
import pytest

from twilio_oauth_async import DeviceAuthorization, SignIn, StoredFlow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORIZATION = DeviceAuthorization(
    client_sid="OQ1",
    scopes=("openid", "calls:read"),
    device_code="s3cr3t-canary",
    user_code="ABCD-EFGH",
    verification_uri="https://example.com/activate",
    verification_uri_complete="https://example.com/activate?user_code=ABCD-EFGH",
    interval=5.0,
    expires_at=NOW,
    next_poll_at=NOW,
)
VALUES = [AUTHORIZATION, SignIn.of(StoredFlow(id="id", user="user", authorization=AUTHORIZATION))]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_instructions_with_complete_uri_show_link_code_app_scopes_and_warning(value):
    assert value.instructions("Call Center") == (
        "To sign in, open https://example.com/activate?user_code=ABCD-EFGH\n"
        "and check that the page shows the code ABCD-EFGH\n"
        "(or enter the code at https://example.com/activate)\n"
        "\n"
        "This lets Call Center use: openid, calls:read\n"
        "Do this only if you started the sign-in yourself. Never enter a code that you did not request."
    )


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_instructions_without_complete_uri_ask_for_the_code_and_name_the_client_sid(value):
    text = attrs.evolve(value, verification_uri_complete=None).instructions()
    assert text.startswith("To sign in, open https://example.com/activate\nand enter the code ABCD-EFGH\n")
    assert "This lets OQ1 use: openid, calls:read\n" in text
