"""Device flows of many users.

May import: `tokens`, `grants`, `stores`, `protocol`, `clock`, `telemetry`, `errors`.
"""
