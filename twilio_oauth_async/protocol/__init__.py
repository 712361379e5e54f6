"""Everything that can be said about the messages of the API without sending one. Pure: no I/O, no clock.

Builds requests and parses responses (one pair of functions per endpoint), reads error responses, and decides how a
device code is polled (RFC 8628 3.5). Time and base URL are arguments.

May import: `errors`. Not `aiohttp`, `asyncio`, `os`, `random`, `socket`, `ssl`, `threading` or `time`.
"""
