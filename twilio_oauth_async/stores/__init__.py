"""Where tokens and pending flows are kept: one contract (`base`), one module or folder per backend.

A backend is imported by its own name, and imports its optional packages itself: `memory`, `file` (extra ``file``),
`redis` (extra ``redis``).

May import: `protocol`, `clock`, `extras`, `errors`. Not `client`, `grants` or `tokens`.
"""
