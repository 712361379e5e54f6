"""`Names`: the streams, subjects, consumers and keys of one queue. Pure."""

from __future__ import annotations

import hashlib
import json
import re

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.grants.base import GrantIdentity
from twilio_oauth_async.stores.base import TokenKey
from twilio_oauth_async.stores.keys import digest

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@attrs.frozen
class Names:
    """What one queue is called on the server."""

    name: str
    group: str
    """Sign-ins of other clients, servers, scopes or audiences have other subjects: no worker polls them by mistake."""

    @classmethod
    def of(cls, name: object, identity: GrantIdentity) -> Names:
        """Return the names of the queue `name` for the sign-ins of `identity`.

        Raises:
            ConfigurationError: `name` cannot be the name of a stream.
        """
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise ConfigurationError("name must have 1 to 64 characters: letters, digits, - and _")
        asked = [identity.client_sid, identity.server, list(identity.scopes), list(identity.audiences)]
        return cls(name, hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16])

    @property
    def flows(self) -> str:
        """The stream of pending sign-ins."""
        return f"{self.name}-flows"

    @property
    def ends(self) -> str:
        """The stream of ends to report."""
        return f"{self.name}-ends"

    @property
    def bucket(self) -> str:
        """The bucket of the states."""
        return f"{self.name}-sign-ins"

    @property
    def bucket_stream(self) -> str:
        """The stream under the bucket."""
        return f"KV_{self.bucket}"

    @property
    def workers(self) -> str:
        """The consumer of those who poll."""
        return f"workers-{self.group}"

    @property
    def on_end(self) -> str:
        """The consumer of those who have an `on_end`."""
        return f"on-end-{self.group}"

    def flow_subject(self, id_: str) -> str:
        """Return the subject of the message of a pending sign-in; ``*`` stands for all."""
        return f"{self.name}.flows.{self.group}.{id_}"

    def end_subject(self, id_: str) -> str:
        """Return the subject of the message of an end; ``*`` stands for all."""
        return f"{self.name}.ends.{self.group}.{id_}"

    def flow_key(self, id_: str) -> str:
        """Return the key of the state of a sign-in; ``*`` stands for all."""
        return f"flow.{self.group}.{id_}"

    def user_key(self, key: TokenKey) -> str:
        """Return the key under which the id of the newest sign-in of a user is."""
        return f"user.{digest(json.dumps([key.user, key.client_sid, key.server]))}"

    @property
    def sweep_key(self) -> str:
        """The key of the time of the last sweep."""
        return f"sweep.{self.group}"

    def key_subject(self, key: str) -> str:
        """Return the subject of a key of the bucket."""
        return f"$KV.{self.bucket}.{key}"


def is_id(id_: object) -> bool:
    """Return whether `id_` can be the id of a sign-in. It comes from a browser, and ``*`` must not find any."""
    return isinstance(id_, str) and _ID.fullmatch(id_) is not None
