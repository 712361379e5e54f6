"""What aiohttp's server may log: mistakes of our own, never what somebody sent."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError


def http_logger() -> logging.Logger:
    """Return the logger for the HTTP server.

    aiohttp logs malformed HTTP as an error and quotes the offending line, which may be a header with a secret; a body
    that is not what its head says it logs as well. The client is told with a 400; the log stays silent.
    """
    logger = logging.getLogger(__name__)
    logger.addFilter(_is_our_own)  # adding it again changes nothing
    return logger


def _is_our_own(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError | RequestPayloadError)
