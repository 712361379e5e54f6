"""Faults that a test asks for: which requests fail, and what is sent instead.

May import: `rules`, `messages`.
"""
