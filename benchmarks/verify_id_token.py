"""Time to verify an ID token with a cached key, compared with the bare signature check of `cryptography`.

``python benchmarks/verify_id_token.py [CALLS]`` signs in with the emulator, once with each algorithm. Then it calls the
bare check and the verifier in turn, so that neither runs with warm processor caches, as in a real program. The results
are medians of single calls.

The bare check uses `cryptography` alone: the key is ready, and a call gets the signed bytes and the signature. The exit
status is 1 if a ratio exceeds its limit.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from harness import Report, Series, Usage, ratios

from twilio_oauth_async import DeviceFlow, OAuthSession, VirtualClock
from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.endpoints.signing_keys import Algorithm

LIMITS: dict[Algorithm, float] = {"ES256": 1.4, "RS256": 2.0}
WARM_UP = 200


@attrs.frozen
class Result:
    bare: Series
    verify: Series
    bound: Series
    """Including the comparison with the access token."""


def bare_check(jwk: dict[str, str], id_token: str) -> Callable[[], None]:
    """Return a function that only checks the signature."""
    message, _, signature = id_token.rpartition(".")
    signed, raw = message.encode(), decoded(signature)
    numbers = {name: int.from_bytes(decoded(jwk[name]), "big") for name in ("x", "y", "n", "e") if name in jwk}
    if jwk["kty"] == "EC":
        point = ec.EllipticCurvePublicNumbers(numbers["x"], numbers["y"], ec.SECP256R1()).public_key()

        def check_ecdsa() -> None:
            # A JWS contains the two numbers side by side; the library expects DER.
            der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            point.verify(der, signed, ec.ECDSA(hashes.SHA256()))

        return check_ecdsa
    key = rsa.RSAPublicNumbers(numbers["e"], numbers["n"]).public_key()
    return lambda: key.verify(raw, signed, padding.PKCS1v15(), hashes.SHA256())


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def measure(algorithm: Algorithm, calls: int) -> Result:
    clock = VirtualClock(datetime.now(UTC))
    async with (
        Emulator(clock=clock, signing_algorithm=algorithm) as server,
        OAuthSession(server.account_sid, server.auth_token, base_url=server.base_url, clock=clock) as sign_in,
        OAuthSession(server.account_sid, server.auth_token, base_url=server.base_url) as session,
    ):
        scopes = ["openid"]
        flow = DeviceFlow(
            sign_in, client_sid=server.client_sid, scopes=scopes, prompt=lambda a: server.approve(a.user_code)
        )
        token = await flow.run()
        id_token = token.id_token
        assert id_token is not None
        certs = await session.fetch_certs()
        [jwk] = [key for key in certs.keys or () if key["alg"] == algorithm]
        verifier = IdTokenVerifier(session, client_sid=server.client_sid)
        bare = bare_check({name: str(value) for name, value in jwk.items()}, id_token)

        times: tuple[list[int], ...] = ([], [], [])
        for _ in range(calls + WARM_UP):
            started = time.perf_counter_ns()
            bare()
            times[0].append(time.perf_counter_ns() - started)
            started = time.perf_counter_ns()
            await verifier.verify(id_token)
            times[1].append(time.perf_counter_ns() - started)
            started = time.perf_counter_ns()
            await verifier.verify(id_token, access_token=token.access_token)
            times[2].append(time.perf_counter_ns() - started)
        return Result(*(Series(1, [Usage(wall=each / 1e9) for each in measured[WARM_UP:]]) for measured in times))


def main() -> int:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    report = Report(__file__, __doc__, packages=("cryptography", "joserfc"))
    for algorithm, limit in LIMITS.items():
        result = asyncio.run(measure(algorithm, calls))
        report.add(algorithm, "signature check of cryptography", result.bare.wall, "us")
        report.add(algorithm, "verify", result.verify.wall, "us")
        report.add(algorithm, "verify / signature check", ratios(result.verify, result.bare), "x", at_most=limit)
        report.add(algorithm, "verify with at_hash", result.bound.wall, "us")
        report.add(algorithm, "verify with at_hash / signature check", ratios(result.bound, result.bare), "x")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
