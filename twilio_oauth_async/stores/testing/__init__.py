"""Test suites for stores of your own. They need the extra ``pytest``, and hypothesis for the tests with random calls.

::

    import pytest
    from my_app import MyTokenStore
    from twilio_oauth_async.stores.testing import SharedTokenStoreContract, TokenStoreContract

    class TestMyTokenStore(TokenStoreContract, SharedTokenStoreContract):
        @pytest.fixture
        def open_store(self, tmp_path, clock):
            return lambda: MyTokenStore(tmp_path / "tokens.db", clock=clock)

        @pytest.fixture
        def recipe(self, tmp_path):
            return f"import my_app; open_store = lambda: my_app.MyTokenStore({str(tmp_path / 'tokens.db')!r})"

`open_store` is a function. Each call returns another store object on one storage, which is empty when the test begins.
For a database it opens a new schema or uses a new prefix for each test. The suites:

- `TokenStoreContract`, `FlowStoreContract`: the rules of `twilio_oauth_async.stores.rules`, keys, locks, leases,
  concurrent calls, cancellation at each await, secrets in errors and logs, random calls compared with the memory store.
- `SharedTokenStoreContract`, `SharedFlowStoreContract`: several processes on one storage, ``kill -9`` at each step of a
  call. They need the fixture `recipe`: Python source with which another process opens the storage.

What a store cannot do is said by attributes (`own_clock`, `several_loops`) and by missing fixtures (`open_store_at`,
`open_broken_store`, `recipe`); the tests in question are skipped and the reason is printed. All are described in
`StoreContract`. A store of your own applies `stores.rules` in one atomic step, checks arguments with `stores.keys`, and
writes values with their ``to_json()``. examples/own_token_store.py is a complete token store; for flows, see
`twilio_oauth_async.stores.memory`.

May import: everything in `stores`, pytest, hypothesis (late). Not `tests`.
"""

from __future__ import annotations

from twilio_oauth_async.extras import from_extra

with from_extra("pytest", "pytest"):
    import pytest

# Before the modules are imported: pytest then explains their assertions as it does those of a test module.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{name}"
        for name in (
            "checks",
            "flow_calls",
            "flow_ends",
            "flow_leases",
            "flow_processes",
            "flow_records",
            "flow_safety",
            "flows",
            "processes",
            "token_locks",
            "token_records",
            "token_rules",
            "token_safety",
            "tokens",
        )
    )
)

from twilio_oauth_async.stores.testing.flow_processes import SharedFlowStoreContract  # noqa: E402
from twilio_oauth_async.stores.testing.flows import FlowStoreContract  # noqa: E402
from twilio_oauth_async.stores.testing.options import StoreContract  # noqa: E402
from twilio_oauth_async.stores.testing.processes import SharedTokenStoreContract  # noqa: E402
from twilio_oauth_async.stores.testing.tokens import TokenStoreContract  # noqa: E402

__all__ = [
    "FlowStoreContract",
    "SharedFlowStoreContract",
    "SharedTokenStoreContract",
    "StoreContract",
    "TokenStoreContract",
]
