"""Ways to obtain a token: device grant, authorization code, client credentials.

Each implements `base.Grant`. None of them stores a token.

May import: `client`, `oidc`, `protocol`, `clock`, `telemetry`, `errors`. Not `stores`.
"""
