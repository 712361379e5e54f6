"""The API's endpoints over aiohttp: v1, v2, revocation, signing keys, and the middleware around them.

May import: `faults`, `rules`, `messages`.
"""
