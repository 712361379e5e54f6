"""Pages on which a user enters a code, and approves or denies; their templates and texts.

May import: `endpoints`, `faults`, `rules`, `messages`.
"""
