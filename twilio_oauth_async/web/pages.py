"""`Pages`: the pages of a site, from templates; its stylesheets and its script."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.sign_in_texts import SignInTexts
from twilio_oauth_async.web.http_messages import Response

FILE_AGE: Final = 86_400
"""Seconds for which a browser keeps a file. The URL of a changed file is another one."""

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class Pages:
    """Renders pages, and serves the files that they use."""

    def __init__(
        self, url: SplitResult, app_name: str, texts: SignInTexts, templates: Path | None, stylesheet: Path | None
    ) -> None:
        """Load the templates and the files.

        Args:
            url: the public URL of the site.
            app_name: the name by which the users know the application.
            texts: what the pages say.
            templates: a folder with templates of the application, which replace those of the same name.
            stylesheet: a stylesheet of the application, which is loaded last.

        Raises:
            ConfigurationError: `templates` is not a folder, or `stylesheet` cannot be read.
            MissingExtraError: jinja2 or segno is not installed.
        """
        with from_extra("web", "jinja2", "segno"):
            import jinja2
            import segno  # noqa: F401  # pyright: ignore[reportUnusedImport] - missing here rather than in a page
        own = resources.files("twilio_oauth_async")
        self._files: dict[str, bytes] = {
            "pages.css": own.joinpath("stylesheets", "pages.css").read_bytes(),
            "sign-in.js": own.joinpath("web", "static", "sign-in.js").read_bytes(),
        }
        if stylesheet is not None:
            self._files["custom.css"] = _read(stylesheet)
        loaders: list[jinja2.BaseLoader] = [jinja2.PackageLoader("twilio_oauth_async.web", "templates")]
        if templates is not None:
            _check_folder(templates)
            # Beside its own name, so that a template of the application can extend the one that it replaces.
            loaders = [jinja2.FileSystemLoader(templates), *loaders, jinja2.PrefixLoader({"default": loaders[0]})]
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader(loaders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._path = url.path

        def text(name: str, /, **values: object) -> str:
            return texts.fill(name, app_name=app_name, **values)

        values: dict[str, Any] = self._environment.globals
        values.update(
            app_name=app_name,
            base=url.path,
            file=self._url_of,
            files=list(self._files),
            text=text,
            texts=texts,
        )

    def page(self, name: str, status: int = 200, **values: Any) -> Response:
        """Return the page of the template `name`, filled in with `values`."""
        text = self._environment.get_template(f"{name}.html").render(**values)
        return Response(status=status, body=text.encode())

    def problem(self, status: int, text: str, **values: object) -> Response:
        """Return the page that says why a request failed, with the text of the name ``problem.`` and `text`."""
        return self.page("problem", status, problem=f"problem.{text}", values=values)

    def file(self, name: str, version: str) -> Response | None:
        """Return a file that the pages use; None if there is none of this name.

        Args:
            name: of the file.
            version: in the URL. Only the present one is kept by browsers: during an update, the page may be from a
                process with another version than the file.
        """
        content = self._files.get(name)
        if content is None:
            return None
        is_present = version == self._version_of(name)
        headers = (("Cache-Control", f"public, max-age={FILE_AGE}"),) if is_present else ()
        return Response(content_type=_TYPES[name.rpartition(".")[2]], body=content, headers=headers)

    def _url_of(self, name: str) -> str:
        return f"{self._path}/static/{name}?v={self._version_of(name)}"

    def _version_of(self, name: str) -> str:
        return hashlib.sha256(self._files[name]).hexdigest()[:8]


def data_uri(svg: str) -> str:
    """Return an SVG image as the URI of an image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _check_folder(templates: object) -> None:
    """Raise `ConfigurationError` if `templates` is not the path of a folder."""
    if not isinstance(templates, str | Path) or not Path(templates).is_dir():
        raise ConfigurationError("templates must be a folder")


def _read(stylesheet: Path) -> bytes:
    try:
        return Path(stylesheet).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"stylesheet cannot be read: {error.strerror}") from None
    except TypeError:
        raise ConfigurationError("stylesheet must be the path of a file") from None
