import pytest

from tests.helpers.http_clients import CLIENTS


@pytest.fixture(params=CLIENTS, ids=lambda kind: kind.__name__.lower())
def kind(request):
    """Each HTTP client that has a `BearerAuth`, as a class with one interface."""
    return request.param
