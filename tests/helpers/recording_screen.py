"""A login screen that records its output."""

import contextlib


class RecordingScreen:
    """Records what is shown; `on_show` is called with each device authorization."""

    def __init__(self, on_show=lambda authorization: None):
        self.shown = []
        self.said = []
        self.lines = []
        self.on_show = on_show

    def show(self, authorization, app_name):
        self.shown.append(authorization)
        self.said.append(authorization.instructions(app_name))
        self.on_show(authorization)

    def say(self, text):
        self.said.append(text)

    @contextlib.contextmanager
    def live(self, text, code):
        self.lines.append(text)
        yield self.lines.append

    @property
    def text(self):
        return "\n".join([*self.said, *self.lines])
