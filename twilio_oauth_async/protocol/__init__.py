"""Messages of the OAuth API: build requests, parse responses. Pure: no I/O, no clock.

One pair of functions per endpoint builds the request and parses the response. Other modules read error responses and
decide when a device code is polled (RFC 8628 3.5). The time and the base URL are arguments.

May import: `errors`. Not `aiohttp`, `asyncio`, `os`, `random`, `socket`, `ssl`, `threading` or `time`.
"""
