"""Putting the token on requests: a module for each HTTP client, imported by its own name.

`aiohttp.BearerAuth` is a client middleware, `httpx.BearerAuth` an ``httpx.Auth``, `twilio.BearerCredentials` a
credential provider of Twilio's own SDK.
"""
