"""The authorization server's state and rules: clients, codes, grants, tokens. Pure, apart from a seeded `random`.

May import: `messages`.
"""
