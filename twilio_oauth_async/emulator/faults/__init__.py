"""Faults that a test adds: which requests fail, and what the server sends instead.

May import: `rules`, `messages`.
"""
