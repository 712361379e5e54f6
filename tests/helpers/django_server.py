"""An independent authorization server: django-oauth-toolkit, in a process of its own.

It prints its port, and ends when its input does. The package implements the endpoints and their checks; `django_views`
adds the users, who sign in without a page, and the path ``/control/`` by which a test decides.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

ACCOUNT = "US" + "1f" * 16
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT_URI = "http://127.0.0.1:8400/callback"


def configure() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
        MIDDLEWARE=["tests.helpers.django_views.sign_in_at_once"],
        OAUTH2_PROVIDER={
            "OAUTH2_VALIDATOR_CLASS": "tests.helpers.django_views.Validator",
            "OAUTH_DEVICE_VERIFICATION_URI": "https://login.example.com/device",
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": key.decode(),
            "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "SCOPES": {"openid": "Sign in", "email": "Email"},
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # fast: the client secret is hashed
        ROOT_URLCONF="tests.helpers.django_views",
        DEBUG_PROPAGATE_EXCEPTIONS=True,
        SECRET_KEY="a key for tests",
        USE_TZ=True,
    )
    django.setup()


def create_records() -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    User.objects.create(username="ada", first_name="Ada", last_name="Example", email="ada@example.com")
    common: dict[str, Any] = {"skip_authorization": True, "redirect_uris": REDIRECT_URI, "algorithm": "RS256"}
    public = common | {"client_type": Application.CLIENT_PUBLIC, "client_secret": ""}
    Application.objects.create(client_id="OQpublic", authorization_grant_type=DEVICE_CODE, **public)
    Application.objects.create(client_id="OQbrowser", authorization_grant_type="authorization-code", **public)
    confidential = common | {"client_type": Application.CLIENT_CONFIDENTIAL, "client_secret": "right"}
    Application.objects.create(client_id="OQsecret", authorization_grant_type=DEVICE_CODE, **confidential)
    Application.objects.create(client_id="OQprogram", authorization_grant_type="client-credentials", **confidential)


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    configure()
    from django.core.wsgi import get_wsgi_application

    create_records()
    # One thread for all requests: the database in memory belongs to its connection.
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=QuietHandler)
    print(json.dumps({"port": server.server_port}), flush=True)
    threading.Thread(target=end_with_input, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
