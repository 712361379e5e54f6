"""What a failed TLS handshake or a proxy is reported as. No text of OpenSSL or of the server is in it."""

import asyncio
import ssl

import aiohttp
import pytest

from twilio_oauth_async import OAuthSession, RetryPolicy, TransportError
from twilio_oauth_async.client.failures import failure_of
from twilio_oauth_async.protocol.discovery import build_certs

KEY = aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None)


def certificate_error(code):
    cause = ssl.SSLCertVerificationError(1, "canary")
    cause.verify_code = code
    return aiohttp.ClientConnectorCertificateError(KEY, cause)


def tls_error(reason):
    cause = ssl.SSLError(1, "canary")
    cause.reason = reason
    return aiohttp.ClientConnectorSSLError(KEY, cause)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (certificate_error(9), "is not valid yet"),
        (certificate_error(10), "has expired"),
        (certificate_error(18), "is self-signed"),
        (certificate_error(19), "unknown authority"),
        (certificate_error(20), "unknown authority"),
        (certificate_error(62), "belongs to another host name"),
        (certificate_error(64), "belongs to another IP address"),
        (certificate_error(7), "is not trusted"),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("canary")), "is not trusted"),
        (tls_error("WRONG_VERSION_NUMBER"), "does not speak TLS"),
        (tls_error("NO_SHARED_CIPHER"), "no protocol or cipher"),
        (tls_error(None), "no protocol or cipher"),
    ],
)
def test_tls_failure_says_what_is_wrong(error, text):
    failure = failure_of(error, build_certs(), is_sent=None)
    assert type(failure.error) is TransportError
    assert text in str(failure.error)
    assert "canary" not in str(failure.error)
    assert not failure.retryable


@pytest.mark.asyncio
async def test_server_without_tls_and_proxy_that_cannot_be_reached():
    async def speak(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with OAuthSession(base_url=f"https://127.0.0.1:{port}", retry=RetryPolicy.none()) as session:
            with pytest.raises(TransportError, match="does not speak TLS"):
                await session.fetch_certs()
    proxy = f"http://user:canary@127.0.0.1:{port}"
    async with OAuthSession(base_url="https://oauth.invalid", proxy=proxy, retry=RetryPolicy.none()) as session:
        with pytest.raises(TransportError, match="no connection to the proxy") as caught:
            await session.fetch_certs()
    assert "canary" not in repr(caught.value)
