"""What every store must do, ours or not: subclass these, and give one fixture.

::

    from tests.helpers.store_contract import FlowStoreContract, TokenStoreContract

    class TestMyTokenStore(TokenStoreContract):
        @pytest.fixture
        def open_store(self):
            storage = ...
            return lambda: MyTokenStore(storage)

`open_store` is a function; each call returns another store object on the same storage, which is empty when the test
begins. Stores that several processes can share pass the ``Shared...`` contracts as well (store_contract_processes.py).
"""

from tests.helpers.store_contract_flows import FlowStoreContract
from tests.helpers.store_contract_processes import SharedFlowStoreContract, SharedTokenStoreContract
from tests.helpers.store_contract_tokens import TokenStoreContract

__all__ = ["FlowStoreContract", "SharedFlowStoreContract", "SharedTokenStoreContract", "TokenStoreContract"]
