"""Adapters that put the access token on the requests of other libraries; one public module per HTTP client.

`aiohttp.BearerAuth` is a client middleware, `httpx.BearerAuth` an ``httpx.Auth``, and `twilio.BearerCredentials` a
credential provider for Twilio's SDK. They take any object with the methods of
`bearer_policy.TokenSource`, for example a `TokenManager`.

May import: `protocol`, `extras`, `errors`, and the HTTP client that the module is named after. Not `tokens`.
"""
