"""Assertions of the contracts explain themselves, as those of test modules do."""

import pytest

pytest.register_assert_rewrite(
    "stores.flow_contract", "stores.interrupting", "stores.shared_contract", "stores.token_contract"
)
