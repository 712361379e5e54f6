"""A screen that records its output."""

import contextlib


class RecordingScreen:
    """Records lines and status texts; `on_say` is called with each line."""

    def __init__(self, on_say=lambda text: None):
        self.said = []
        self.highlighted = []
        self.statuses = []
        self.on_say = on_say

    def say(self, text="", *, highlight=()):
        self.said.append(text)
        self.highlighted.extend(highlight)
        self.on_say(text)

    @contextlib.contextmanager
    def status(self, text):
        self.statuses.append(text)
        yield self.statuses.append

    @property
    def text(self):
        return "\n".join([*self.said, *self.statuses])
