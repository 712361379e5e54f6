"""Row 28: a file that is empty, damaged or of a later version is set aside; a good one never is."""

import asyncio
import json
import logging

import pytest

from tests.helpers.stored_values import CANARY, flow, stored
from twilio_oauth_async import ConfigurationError, StoreError
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

pytestmark = pytest.mark.asyncio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "tokens.json"


@pytest.fixture
def store(path):
    return FileTokenStore(path)


@pytest.fixture
def put(path):
    def put(content):
        path.parent.mkdir(0o700, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    return put


def entries(**changes):
    return {"format": 1, "kind": "tokens", "entries": {}, **changes}


UNREADABLE = {
    "empty": b"",
    "zeros": bytes(4096),
    "a part": b'{"format":1,"kind":"tokens","entries":{"a":{"tok',
    "no UTF-8": b"\xff\xfe" + CANARY.encode(),
    "no object": [1],
    "no format": {"kind": "tokens", "entries": {}},
    "an odd format": entries(format="1"),
    "format true": entries(format=True),
    "format 0": entries(format=0),
    "a later format": entries(format=2, entries={"a": {CANARY: 1}}),
    "no kind": {"format": 1, "entries": {}},
    "no entries": {"format": 1, "kind": "tokens"},
    "odd entries": entries(entries=[CANARY]),
    "nested without end": b"[" * 100_000,
    "a repeated member": b'{"format":1,"format":1}',
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=list(UNREADABLE))
@pytest.mark.parametrize("first", ["load", "save", "delete"])
async def test_what_cannot_be_read_is_set_aside_and_nothing_is_stored(store, path, put, caplog, content, first):
    put(content)
    was = path.read_bytes()
    if first == "load":
        assert await store.load("a") is None
    elif first == "delete":
        await store.delete("a")
    else:
        await store.save("a", stored(1))
        assert await store.load("a") == stored(1)
    aside = path.with_name("tokens.json.set-aside-1")
    assert aside.read_bytes() == was
    assert aside.stat().st_mode & 0o077 == 0
    assert path.exists() == (first == "save")
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert str(aside) in record.getMessage()
    assert CANARY not in caplog.text
    await store.save("a", stored(2))
    assert await store.load("a") == stored(2)


async def test_a_later_version_is_named(store, put, caplog):
    put(entries(format=7))
    await store.load("a")
    assert "in format 7, which a later version of this package writes" in caplog.text


async def test_what_was_set_aside_is_never_written_over(store, path, put):
    for number in (1, 2, 3):
        put(b"%d" % number)
        assert await store.load("a") is None
    asides = sorted(path.parent.glob("*.set-aside-*"))
    assert [aside.read_bytes() for aside in asides] == [b"1", b"2", b"3"]


async def test_two_who_find_it_set_aside_one_file(path, put):
    put(b"{")
    stores = [FileTokenStore(path) for _ in range(4)]
    await asyncio.gather(*(one.load("a") for one in stores), stores[0].save("a", stored()))
    assert len(list(path.parent.glob("*.set-aside-*"))) == 1
    assert await stores[1].load("a") == stored()


@pytest.mark.parametrize(
    "entry", [None, 5, {}, {"token": {"access_token": CANARY}}, {"token": CANARY, "generation": 1}]
)
async def test_one_damaged_entry_does_not_cost_the_others(store, path, caplog, entry):
    await store.save("good", stored(3))
    await store.save("bad", stored(5))
    content = json.loads(path.read_bytes())
    content["entries"]["bad"] = entry
    path.write_text(json.dumps(content))
    assert await store.load("bad") is None
    assert await store.load("good") == stored(3)
    if entry is not None:
        [aside] = path.parent.glob("*.set-aside-*")
        assert json.loads(aside.read_bytes()) == content
        assert aside.stat().st_mode & 0o077 == 0
        assert str(aside) in caplog.text
        assert CANARY not in caplog.text
        assert "bad" not in json.loads(path.read_bytes())["entries"]
    await store.save("bad", stored(1))
    assert await store.load("bad") == stored(1)


async def test_two_who_find_a_damaged_entry_set_one_copy_aside(path):
    stores = [FileTokenStore(path) for _ in range(4)]
    for key in ("good", "bad"):
        await stores[0].save(key, stored())
    content = json.loads(path.read_bytes())
    content["entries"]["bad"] = 5
    path.write_text(json.dumps(content))
    assert await asyncio.gather(*(one.load("bad") for one in stores)) == [None] * 4
    assert len(list(path.parent.glob("*.set-aside-*"))) == 1


async def test_a_damaged_flow_does_not_hide_the_others(tmp_path):
    store = FileFlowStore(tmp_path / "flows.json")
    for id_ in "abc":
        await store.save(flow(id_))
    content = json.loads((tmp_path / "flows.json").read_bytes())
    content["entries"]["b"]["authorization"]["interval"] = 0
    (tmp_path / "flows.json").write_text(json.dumps(content))
    assert [found.id for found in await store.list_due()] == ["a", "c"]
    assert (tmp_path / "flows.json.set-aside-1").exists()


async def test_a_good_file_of_another_kind_is_refused_and_left(tmp_path):
    path = tmp_path / "state.json"
    await FileFlowStore(path).save(flow())
    was = path.read_bytes()
    for call in (FileTokenStore(path).load("a"), FileTokenStore(path).save("a", stored())):
        with pytest.raises(StoreError, match="something else than tokens") as caught:
            await call
        assert caught.value.__context__ is None
        assert str(path) in str(caught.value)
    assert path.read_bytes() == was
    assert await FileFlowStore(path).load("a") == flow()


async def test_what_is_in_the_file(store, path):
    """The format is a promise to later versions."""
    await store.save("a", stored(3, unanswered=1))
    assert json.loads(path.read_bytes()) == {
        "format": 1,
        "kind": "tokens",
        "entries": {
            "a": {
                "token": {
                    "access_token": f"{CANARY}-access-3",
                    "access_token_expires_at": "2026-01-01T13:00:00.250000+00:00",
                    "refresh_token": f"{CANARY}-refresh-3",
                    "refresh_token_expires_at": "2026-01-31T12:00:00.250000+00:00",
                    "id_token": f"{CANARY}.id.3",
                    "token_type": "Bearer",
                    "scope": "openid calls:read",
                },
                "generation": 3,
                "obtained_at": "2026-01-01T12:00:00.250000+00:00",
                "unanswered": 1,
            }
        },
    }


async def test_members_that_are_not_known_are_ignored(store, path, put):
    await store.save("a", stored(3))
    content = json.loads(path.read_bytes())
    content["entries"]["a"]["new"] = content["new"] = [1]
    put(content)
    assert await store.load("a") == stored(3)


async def test_there_is_nothing_to_encrypt_with(store):
    with pytest.raises(ConfigurationError, match="without encryption"):
        await store.encrypt()
