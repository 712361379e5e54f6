"""Pages on which a user enters a code, and approves or denies; their templates and style sheet.

May import: `endpoints`, `faults`, `rules`, `messages`.
"""
