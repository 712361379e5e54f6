"""Validation of ID tokens (OpenID Connect) and their signatures (JOSE). Pure: no I/O, no clock.

The keys and the time are arguments. JOSE is RFC 7515 to 7518; an ID token is validated as in OpenID Connect Core
3.1.3.7 and 12.2.

May import: `protocol`, `extras`, `errors`; joserfc (extra ``jwt``) inside functions.
"""
