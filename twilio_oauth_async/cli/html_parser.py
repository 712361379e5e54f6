"""HTML forms, with the fields that a browser would send."""

from __future__ import annotations

from html.parser import HTMLParser

import attrs

_TYPED_IN = frozenset({"text", "search", "tel", "email", "url", "number"})
_NOT_SENT = frozenset({"submit", "button", "reset", "image", "file"})
_NOT_SHOWN = frozenset({"script", "style", "template", "title"})


@attrs.define
class Button:
    """A button that submits its form."""

    name: str
    value: str
    label: str = ""


@attrs.define
class WebForm:
    """One form, with the values that the page contains."""

    action: str
    method: str
    fields: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])
    """Name and value of each field that is sent, in the order of the page, hidden fields included."""
    typed: list[str] = attrs.field(factory=list[str])
    """Names of the fields into which a user types."""
    buttons: list[Button] = attrs.field(factory=list[Button])

    def value(self, name: str) -> str:
        """Return the value of a field."""
        return dict(self.fields)[name]

    def fill(self, name: str, value: str) -> None:
        """Set the value of a field."""
        self.fields = [(field, value if field == name else old) for field, old in self.fields]

    def submission(self, button: Button | None) -> list[tuple[str, str]]:
        """Return the fields to send when `button` is pressed; None: when the form is sent without a button."""
        return [*self.fields, *([(button.name, button.value)] if button is not None and button.name else [])]


class PageReader(HTMLParser):
    """Parser of one page: its `forms`, and its visible `text`."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[WebForm] = []
        self._form: WebForm | None = None
        self._button: Button | None = None
        self._select = ""
        self._hidden: list[str] = []
        self._text_parts: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """The visible text of the page, on one line."""
        return " ".join(" ".join(self._text_parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add a form or one of its controls; called by the parser."""
        given = {name: value or "" for name, value in attrs}
        if tag in _NOT_SHOWN:
            self._hidden.append(tag)
        elif tag == "form":
            self._form = WebForm(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._form)
        elif self._form is None or "disabled" in given:
            return
        elif tag == "input":
            self._add_input(self._form, given)
        elif tag == "button" and given.get("type", "submit").lower() == "submit":
            self._button = Button(given.get("name", ""), given.get("value", ""))
            self._form.buttons.append(self._button)
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag == "option" and self._select:
            self._add_option(self._form, self._select, given)

    def handle_endtag(self, tag: str) -> None:
        """Finish a form, a control or a hidden element; called by the parser."""
        if self._hidden and self._hidden[-1] == tag:
            self._hidden.pop()
        elif tag == "form":
            self._form = None
        elif tag == "button":
            self._button = None
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        """Collect visible text; called by the parser."""
        if self._hidden:
            return
        self._text_parts.append(data)
        if self._button is not None:
            self._button.label = " ".join([*self._button.label.split(), *data.split()])

    def _add_input(self, form: WebForm, given: dict[str, str]) -> None:
        kind, name, value = given.get("type", "text").lower(), given.get("name", ""), given.get("value", "")
        if kind == "submit":
            form.buttons.append(Button(name, value, label=value))
        elif kind in {"checkbox", "radio"}:
            if name and "checked" in given:
                form.fields.append((name, value or "on"))
        elif name and kind not in _NOT_SENT:
            form.fields.append((name, value))
            if kind in _TYPED_IN and "readonly" not in given:
                form.typed.append(name)

    def _add_option(self, form: WebForm, select: str, given: dict[str, str]) -> None:
        """Set the field to the first option, and later to an option that is marked as selected."""
        if select not in dict(form.fields):
            form.fields.append((select, given.get("value", "")))
        elif "selected" in given:
            form.fill(select, given.get("value", ""))
