"""What somebody meets who installed the wheel without any extra. Run by `nox -s wheel`, far from the checkout."""

import asyncio
import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import twilio_oauth_async
from twilio_oauth_async import ConfigurationError, DeviceFlow, OAuthSession

EXTRAS = (
    *("click", "cryptography", "filelock", "httpx2", "jinja2", "joserfc", "keyring", "opentelemetry", "platformdirs"),
    *("pytest", "redis", "rich"),
)


def check_the_surroundings() -> None:
    installed = [name for name in EXTRAS if importlib.util.find_spec(name)]
    assert not installed, f"the environment is not empty: {installed}"
    assert Path(sys.prefix) in Path(twilio_oauth_async.__file__).parents, "this is not the installed package"
    assert "aiohttp" in " ".join(metadata.requires("twilio-oauth-async") or ())
    assert Path(twilio_oauth_async.__file__).with_name("py.typed").exists()


def check_names() -> None:
    refused = set[str]()
    for name in twilio_oauth_async.__all__:
        try:
            getattr(twilio_oauth_async, name)
        except ModuleNotFoundError as error:
            if "pip install 'twilio-oauth-async[" not in str(error):
                raise
            refused.add(name)
    assert all(name.startswith("File") for name in refused), f"these need an extra and should not: {refused}"


def check_misuse() -> None:
    for wrong in (
        lambda: OAuthSession("AC1", "secret", base_url="http://example.com"),
        lambda: DeviceFlow(OAuthSession("AC1", "secret"), client_sid="", scopes=["openid"]),
    ):
        try:
            wrong()
        except ConfigurationError:
            continue
        raise AssertionError("misuse went unnoticed")


def check_the_command() -> None:
    command = Path(sys.executable).with_name("twilio-oauth")
    run = subprocess.run([command, "demo"], capture_output=True, text=True, check=False)
    assert run.returncode == 2, run
    assert "pip install 'twilio-oauth-async[cli]'" in run.stderr, run


async def check_a_request() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"keys": [{"kid": "K1"}]}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with OAuthSession("AC1", "secret", base_url=f"http://127.0.0.1:{port}") as session:
            certs = await session.fetch_certs()
    assert certs.keys is not None
    assert certs.keys[0]["kid"] == "K1"


check_the_surroundings()
check_names()
check_misuse()
check_the_command()
asyncio.run(check_a_request())
print("the installed package works without extras")
