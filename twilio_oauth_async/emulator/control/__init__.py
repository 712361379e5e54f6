"""Control of the emulator by a test: in the same process (`in_process`), or over HTTP (`http_routes`, ``/_control/``).

May import: `pages`, `endpoints`, `faults`, `rules`, `messages`.
"""
