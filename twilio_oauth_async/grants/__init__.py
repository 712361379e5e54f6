"""Ways to obtain a token: device grant, authorization code, client credentials.

Each is a `base.Grant` and keeps no token.

May import: `client`, `protocol`, `clock`, `telemetry`, `errors`. Not `stores`.
"""
