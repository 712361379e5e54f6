"""What `django_server` adds to django-oauth-toolkit: claims of the users, their sign-in, and the control by a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider import urls
from oauth2_provider.models import DeviceGrant
from oauth2_provider.oauth2_validators import OAuth2Validator

from tests.helpers.django_server import ACCOUNT


class Validator(OAuth2Validator):
    oidc_claim_scope = None  # all claims with every scope

    def get_additional_claims(self, request: Any) -> dict[str, object]:
        user = request.user
        return {"sub": ACCOUNT, "email": user.email, "given_name": user.first_name, "family_name": user.last_name}


def sign_in_at_once(respond: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def respond_as_user(request: HttpRequest) -> HttpResponse:
        request.user = User.objects.get()
        return respond(request)

    return respond_as_user


@csrf_exempt
def control(request: HttpRequest) -> HttpResponse:
    """Approve, deny or expire a device code, as `DeviceConfirmView` and `DeviceGrant.is_expired` do."""
    order = json.loads(request.body)
    grant = DeviceGrant.objects.get(user_code=order["user_code"])
    grant.status = order["status"]
    if grant.status == DeviceGrant.AUTHORIZED:
        grant.user = User.objects.get()
    if grant.status == DeviceGrant.EXPIRED:
        grant.expires = datetime.now(UTC)
    grant.save()
    return JsonResponse({})


urlpatterns = [path("o/", include(urls)), path("control/", control)]
