"""Real clients, managers and pools in every order of their tasks, in simulated time and over a simulated network.

The models in tests/model explore the rules; here the code itself runs, with aiohttp on both sides. A run differs from
the usual one by deviations: another task runs first, bytes arrive later, a user acts at another time, or a call is
cancelled. `explorer` visits every run with at most so many of them, and ``nox -s schedules`` goes further than the
tests do.
"""
