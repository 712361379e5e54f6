"""The token on other libraries' requests: one public module per HTTP client, imported by its own name.

`aiohttp.BearerAuth` is a client middleware, `httpx.BearerAuth` an ``httpx.Auth``, `twilio.BearerCredentials` a
credential provider of Twilio's own SDK. Where the token comes from is a protocol (`bearer.TokenSource`).

May import: `protocol`, `extras`, `errors`, and the HTTP client that the module is named after. Not `tokens`.
"""
