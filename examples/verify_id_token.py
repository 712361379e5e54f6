"""Read from the ID token who signed in, after its signature and claims were verified.

See _service.py for the server.
"""

import asyncio
import base64
import json
import sys

from _service import Service, service

from twilio_oauth_async import DeviceFlow, IdTokenError, IdTokenVerifier, TwilioOAuthError


def with_another_subject(id_token: str) -> str:
    """Return a forged token: another `sub` with the old signature."""
    header, payload, signature = id_token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["sub"] = "US" + "0" * 32
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{forged}.{signature}"


async def sign_in(twilio: Service) -> None:
    token = await DeviceFlow(
        twilio.session,
        client_sid=twilio.client_sid,
        client_secret=twilio.client_secret,
        scopes=["openid"],  # without it there is no ID token
        prompt=twilio.show,
    ).run()
    if token.id_token is None:
        sys.exit("The response has no ID token.")
    verifier = IdTokenVerifier(twilio.session, client_sid=twilio.client_sid)
    claims = await verifier.verify(token.id_token, access_token=token.access_token)
    print(f"Signed in: {claims.sub}, issuer {claims.iss}, ID token valid until {claims.exp}")
    try:
        await verifier.verify(with_another_subject(token.id_token))
    except IdTokenError as error:
        print(f"A forged ID token is rejected: {error}")


async def main() -> None:
    async with service() as twilio:
        await sign_in(twilio)


try:
    asyncio.run(main())
except TwilioOAuthError as error:
    sys.exit(f"Failed: {error}")
except KeyboardInterrupt:
    sys.exit("Interrupted.")
