"""Whether an ID token may be believed, given keys and a time: JOSE and OpenID Connect checks. Pure: no I/O, no clock.

JOSE is RFC 7515 to 7518; the checks of an ID token are those of OpenID Connect Core 3.1.3.7 and 12.2.

May import: `protocol`, `extras`, `errors`; joserfc (extra ``jwt``) inside functions.
"""
