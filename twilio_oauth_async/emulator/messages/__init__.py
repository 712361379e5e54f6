"""HTTP messages: forms, the ``Authorization`` header, error responses, formats, and the journal of recorded requests.

May import: nothing else of the emulator.
"""
