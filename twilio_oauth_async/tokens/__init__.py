"""Keeping a token valid: decide, refresh once, save before use, refresh in the background.

May import: `grants` (only `base`), `stores`, `protocol`, `clock`, `telemetry`, `errors`; `client` for types only.
"""
