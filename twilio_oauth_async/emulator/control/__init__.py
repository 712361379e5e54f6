"""What a test can see and change: in the same process (`console`), or over HTTP (`http`, ``/_control/``).

May import: `pages`, `endpoints`, `faults`, `rules`, `messages`.
"""
