"""Responses and forms for tests of build and parse functions."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from multidict import CIMultiDict

from twilio_oauth_async.protocol.messages import Context, Response

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTEXT = Context(now=NOW, base_url="https://oauth.example/base")


def response(body, status=201, content_type="application/json"):
    """Return a response with `body` as JSON."""
    return Response(status=status, headers=CIMultiDict({"Content-Type": content_type}), body=json.dumps(body).encode())


def form_fields(request):
    """Return names and values of the form in a request, in their order."""
    return parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
