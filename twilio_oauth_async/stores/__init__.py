"""Stores for tokens and pending flows: one contract (`base`), one module or folder per backend.

Import a backend by its own name; it imports its optional packages itself: `memory`, `file` (extra ``file``),
`redis` (extra ``redis``).

May import: `protocol`, `clock`, `in_flight`, `extras`, `errors`. Not `client`, `grants` or `tokens`.
"""
