"""Requests to the authorization server: `OAuthSession`, its transport and retries, key set cache, ID token verifier.

The only folder that opens an `aiohttp.ClientSession` to the authorization server.

May import: `oidc`, `protocol`, `clock`, `in_flight`, `telemetry`, `extras`, `errors`.
"""
