"""Checks the installed wheel without extras. Run by `nox -s wheel`, outside of the checkout."""

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
    *("nats", "pytest", "redis", "rich"),
)


def check_environment() -> None:
    installed = [name for name in EXTRAS if importlib.util.find_spec(name)]
    assert not installed, f"packages of extras are installed: {installed}"
    assert Path(sys.prefix) in Path(twilio_oauth_async.__file__).parents, (
        "the imported package is not the installed one"
    )
    assert "aiohttp" in " ".join(metadata.requires("twilio-oauth-async") or ())
    assert Path(twilio_oauth_async.__file__).with_name("py.typed").exists()
    assert twilio_oauth_async.__version__ == metadata.version("twilio-oauth-async")


def check_names() -> None:
    needing_an_extra = set[str]()
    for name in twilio_oauth_async.__all__:
        try:
            getattr(twilio_oauth_async, name)
        except ModuleNotFoundError as error:
            if "pip install 'twilio-oauth-async[" not in str(error):
                raise
            needing_an_extra.add(name)
    wrong = {name for name in needing_an_extra if not name.startswith("File")}
    assert not wrong, f"these names must not need an extra: {wrong}"


def check_wrong_arguments() -> None:
    for call in (
        lambda: OAuthSession("AC1", "secret", base_url="http://example.com"),
        lambda: DeviceFlow(OAuthSession("AC1", "secret"), client_sid="", scopes=["openid"]),
    ):
        try:
            call()
        except ConfigurationError:
            continue
        raise AssertionError("wrong arguments did not raise ConfigurationError")


def check_command() -> None:
    script = [Path(sys.executable).with_name("twilio-oauth")]
    module = [sys.executable, "-m", "twilio_oauth_async"]
    for command in (script, module):
        run = subprocess.run([*command, "demo"], capture_output=True, text=True, check=False)
        assert run.returncode == 2, run
        assert "pip install 'twilio-oauth-async[cli]'" in run.stderr, run


async def check_request() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"keys": [{"kid": "K1"}]}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with OAuthSession("AC1", "secret", base_url=f"http://127.0.0.1:{port}") as session:
            certs = await session.fetch_certs()
    assert certs.keys is not None
    assert certs.keys[0]["kid"] == "K1"


check_environment()
check_names()
check_wrong_arguments()
check_command()
asyncio.run(check_request())
print("the installed package works without extras")
