"""What every store must do, ours or not: subclass these, and give one fixture.

::

    from tests.helpers.store_contract import FlowStoreContract, TokenStoreContract

    class TestMine(TokenStoreContract):
        @pytest.fixture
        def open_store(self):
            storage = ...
            return lambda: MyTokenStore(storage)

`open_store` is a function; each call gives another store object on the same storage, which is empty when the test
begins. Stores that processes can share pass the ``Shared…`` contracts as well; see `shared_contract`.
"""

from tests.helpers.flow_store_contract import FlowStoreContract
from tests.helpers.shared_store_contract import SharedFlowStoreContract, SharedTokenStoreContract
from tests.helpers.token_store_contract import TokenStoreContract

__all__ = ["FlowStoreContract", "SharedFlowStoreContract", "SharedTokenStoreContract", "TokenStoreContract"]
