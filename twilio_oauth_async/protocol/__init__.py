"""Messages of the OAuth API: build requests, parse responses. No I/O and no clock; only `pkce` uses random numbers.

One pair of functions per endpoint builds the request and parses the response. Other modules read error responses and
decide when a device code is polled (RFC 8628 3.5). The time and the base URL are arguments.

"The contract" is Twilio's OpenAPI document of the v1 endpoints (a copy: ``tests/protocol/contract/oauth_v1.json``).

May import: `errors`. Not `aiohttp`, `asyncio`, `os`, `random`, `socket`, `ssl`, `threading` or `time`.
"""
