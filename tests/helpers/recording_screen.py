"""A screen that remembers."""

import contextlib


class RecordingScreen:
    """Keeps what was said and what was waited for; `on_say` hears every text as it comes."""

    def __init__(self, on_say=lambda text: None):
        self.said = []
        self.stressed = []
        self.statuses = []
        self.on_say = on_say

    def say(self, text="", *, stress=()):
        self.said.append(text)
        self.stressed.extend(stress)
        self.on_say(text)

    @contextlib.contextmanager
    def status(self, text):
        self.statuses.append(text)
        yield self.statuses.append

    @property
    def text(self):
        return "\n".join([*self.said, *self.statuses])
