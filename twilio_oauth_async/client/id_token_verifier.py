"""`IdTokenVerifier`: who signed in, said by a token that was checked against the server's keys."""

from __future__ import annotations

from collections.abc import Sequence

from twilio_oauth_async.client.jwks_cache import KeySet
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.oidc import id_token as rules
from twilio_oauth_async.oidc.claims import IdTokenClaims
from twilio_oauth_async.oidc.jwa import allowed_algorithms
from twilio_oauth_async.oidc.jwk import require_jose
from twilio_oauth_async.oidc.jws import read_compact
from twilio_oauth_async.protocol.endpoints import is_secure
from twilio_oauth_async.protocol.v1 import check_client


class IdTokenVerifier:
    """Verifies the id tokens that one client gets (OpenID Connect Core 3.1.3.7). Needs the extra ``jwt``.

    Make one and keep it: it holds the server's keys, which it fetches over the session when it first needs them and
    again every five minutes or so. Any number of tasks of one event loop may use it at once.
    """

    def __init__(
        self,
        session: OAuthSession,
        *,
        client_sid: str,
        issuer: str | None = None,
        algorithms: Sequence[str] = ("ES256", "RS256"),
        leeway: float = rules.MAX_LEEWAY,
    ) -> None:
        """Nothing is sent here.

        Args:
            session: where the keys come from; it must be open when a token is verified.
            client_sid: the SID of the OAuth app that the tokens are issued to.
            issuer: who must have issued them, to the letter; None: the session's issuer.
            algorithms: those that are accepted, by the names of RFC 7518 or of Twilio's discovery document.
            leeway: seconds that the issuer's clock may differ from the session's, at most 60.

        Raises:
            ConfigurationError: any of these cannot be used.
            MissingExtraError: the extra ``jwt`` is not installed.
        """
        check_client(client_sid)
        if issuer is not None and not is_secure(issuer):
            raise ConfigurationError("issuer must be an https URL")
        if not 0 <= leeway <= rules.MAX_LEEWAY:
            raise ConfigurationError(f"leeway must be from 0 to {rules.MAX_LEEWAY:.0f} seconds")
        require_jose()
        self.client_sid = client_sid
        self.issuer = session.issuer if issuer is None else issuer
        self._session = session
        self._allowed = allowed_algorithms(algorithms)
        self._leeway = float(leeway)
        self._keys = KeySet(session)

    async def verify(
        self, id_token: str, *, nonce: str | None = None, access_token: str | None = None
    ) -> IdTokenClaims:
        """Give the claims of an id token, once everything about it was found right.

        Args:
            id_token: as it came with the tokens.
            nonce: the one that was sent with the authorization request; None: none was sent.
            access_token: the one that came with it, which ``at_hash`` is compared with where the id token has that.

        Raises:
            IdTokenError: it must not be believed.
            TransportError: the server's keys are needed and cannot be had; `ProtocolError` and `ApiError` likewise.
            ConfigurationError: `id_token` is not a string.
        """
        if not isinstance(id_token, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("id_token must be a string; did the server give one? It takes the scope openid")
        message = read_compact(id_token, self._allowed)
        algorithm, kid = message.algorithm, message.kid
        keys = self._keys.at_hand(algorithm, kid) or await self._keys.find(algorithm, kid)
        return rules.verify(
            message,
            keys,
            issuer=self.issuer,
            client_sid=self.client_sid,
            now=self._session.clock.now(),
            leeway=self._leeway,
            nonce=nonce,
            access_token=access_token,
        )

    async def verify_refreshed(self, id_token: str, *, previous: str, access_token: str | None = None) -> IdTokenClaims:
        """Verify an id token that came with a refresh: it must also be of the same person and client as before.

        Args:
            id_token: the new one.
            previous: the one before it, which was verified when it came and has been kept safe since.
            access_token: the one that came with the new one.

        Raises:
            IdTokenError: as `verify`, or it is about somebody or something else (OpenID Connect Core 12.2).
            TransportError: as `verify`.
        """
        claims = await self.verify(id_token, access_token=access_token)
        rules.check_refreshed(claims, rules.read_stored(previous))
        return claims

    def __repr__(self) -> str:
        return f"IdTokenVerifier(client_sid={self.client_sid!r}, issuer={self.issuer!r})"
