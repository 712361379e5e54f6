"""Find out who signed in from the id token, and believe it only after its signature and claims were checked.

See _service.py for where they sign in.
"""

import asyncio
import base64
import json
import sys

from _service import Service, service

from twilio_oauth_async import DeviceFlow, IdTokenError, IdTokenVerifier, TwilioOAuthError


def about_somebody_else(id_token: str) -> str:
    """What a swindler would send: the same signature under another person's name."""
    header, payload, signature = id_token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["sub"] = "US" + "0" * 32
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{forged}.{signature}"


async def who_signs_in(twilio: Service) -> None:
    token = await DeviceFlow(
        twilio.session,
        client_sid=twilio.client_sid,
        client_secret=twilio.client_secret,
        scopes=["openid"],  # without it there is no id token
        prompt=twilio.show,
    ).run()
    if token.id_token is None:
        sys.exit("The server gave no id token.")
    verifier = IdTokenVerifier(twilio.session, client_sid=twilio.client_sid)
    claims = await verifier.verify(token.id_token, access_token=token.access_token)
    print(f"{claims.sub} signed in, says {claims.iss}; this holds until {claims.exp}")
    try:
        await verifier.verify(about_somebody_else(token.id_token))
    except IdTokenError as error:
        print(f"A forged one is refused: {error}")


async def main() -> None:
    async with service() as twilio:
        await who_signs_in(twilio)


try:
    asyncio.run(main())
except TwilioOAuthError as error:
    sys.exit(f"It did not work: {error}")
except KeyboardInterrupt:
    sys.exit("Nobody came.")
