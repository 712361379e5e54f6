"""Creates the streams, the consumers and the bucket of a queue, where they do not exist."""

# pyright: reportUnknownMemberType=false
# nats-py declares only some of its types.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.argument_checks import check_count, check_seconds
from twilio_oauth_async.sign_in.nats.names import Names
from twilio_oauth_async.stores.nats.connection import Connection

with from_extra("nats", "nats"):
    from nats.js.api import (
        AckPolicy,
        ConsumerConfig,
        ConsumerInfo,
        DiscardPolicy,
        KeyValueConfig,
        RetentionPolicy,
        StorageType,
        StreamConfig,
        StreamInfo,
    )

if TYPE_CHECKING:
    from nats.js import JetStreamContext

T = TypeVar("T")

MAX_AGE = 26 * 3600.0
"""Seconds after which the server removes a message. A code is polled for 24 hours at most, and an end is reported for
as long; a message that is removed before ends nothing."""

DUPLICATE_WINDOW = 120.0
"""Seconds for which the server drops a second message of the same sign-in."""

NO_LIMIT = -1


@attrs.frozen
class Limits:
    """With which limits the parts of a queue are created. Those that exist keep theirs."""

    max_flows: int
    ack_wait: float
    """Seconds."""
    replicas: int

    def __attrs_post_init__(self) -> None:
        check_count("max_flows", self.max_flows, 1)
        check_count("replicas", self.replicas, 1)
        check_seconds("ack_wait", self.ack_wait, may_be_infinite=False)


async def ensure(connection: Connection, names: Names, limits: Limits, *, has_callback: bool) -> float:
    """Create what does not exist. Any number of processes can do that at the same time.

    Returns:
        The `ack_wait` of the workers' consumer, in seconds.

    Raises:
        ConfigurationError: a stream with this name exists that is no work queue.
        StoreError: NATS cannot be reached, or has refused.
    """
    js = connection.js
    await _ensure_stream(connection, _flows_stream(names, limits))
    await _ensure_stream(connection, _ends_stream(names, limits))
    bucket = KeyValueConfig(
        bucket=names.bucket,
        description="states of device flows",
        ttl=MAX_AGE,
        storage=StorageType.FILE,
        replicas=limits.replicas,
    )
    await _ensure(connection, _stream_info(js, names.bucket_stream), lambda: js.create_key_value(bucket))
    consumer = await _ensure_consumer(connection, names.flows, _workers(names, limits))
    if has_callback:
        await _ensure_consumer(connection, names.ends, _on_end(names, limits))
    connection.is_incomplete = False
    return consumer.config.ack_wait or limits.ack_wait


def _flows_stream(names: Names, limits: Limits) -> StreamConfig:
    return StreamConfig(
        name=names.flows,
        description="device flows to poll",
        subjects=[f"{names.name}.flows.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        max_msgs=limits.max_flows,
        discard=DiscardPolicy.NEW,
        max_age=MAX_AGE,
        storage=StorageType.FILE,
        num_replicas=limits.replicas,
        duplicate_window=DUPLICATE_WINDOW,
    )


def _ends_stream(names: Names, limits: Limits) -> StreamConfig:
    # With this policy, the server keeps an end only for the consumers that exist: where no process has ever had an
    # on_end, none is kept.
    return StreamConfig(
        name=names.ends,
        description="ends of device flows to report",
        subjects=[f"{names.name}.ends.>"],
        retention=RetentionPolicy.INTEREST,
        max_age=MAX_AGE,
        storage=StorageType.FILE,
        num_replicas=limits.replicas,
        duplicate_window=DUPLICATE_WINDOW,
    )


def _workers(names: Names, limits: Limits) -> ConsumerConfig:
    # Messages that wait for their next delivery count as pending, so the limit is that of the flows.
    return ConsumerConfig(
        durable_name=names.workers,
        filter_subject=names.flow_subject("*"),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=limits.ack_wait,
        max_deliver=NO_LIMIT,
        max_ack_pending=limits.max_flows,
    )


def _on_end(names: Names, limits: Limits) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=names.on_end,
        filter_subject=names.end_subject("*"),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=limits.ack_wait,
        max_deliver=NO_LIMIT,
        max_ack_pending=NO_LIMIT,
    )


async def _ensure_stream(connection: Connection, config: StreamConfig) -> None:
    assert config.name is not None, "each stream has a name"
    info = await _ensure(connection, _stream_info(connection.js, config.name), lambda: connection.js.add_stream(config))
    if info.config.retention != config.retention:
        raise ConfigurationError(f"the stream {config.name} exists and is not one of this package: choose another name")


async def _ensure_consumer(connection: Connection, stream: str, config: ConsumerConfig) -> ConsumerInfo:
    name = config.durable_name
    assert name is not None, "each consumer has a name"
    js = connection.js
    return await _ensure(
        connection, lambda: js.consumer_info(stream, name), lambda: js.add_consumer(stream, config=config)
    )


def _stream_info(js: JetStreamContext, name: str) -> Callable[[], Awaitable[StreamInfo]]:
    return lambda: js.stream_info(name)


async def _ensure(
    connection: Connection, find: Callable[[], Awaitable[T]], create: Callable[[], Awaitable[object]]
) -> T:
    """Return what `find` finds; if it does not exist, after `create`."""
    if (found := await connection.find(find)) is not None:
        return found
    failed: StoreError | None = None
    try:
        await connection.of(create)
    except StoreError as error:
        failed = error  # another process may have created it in the meantime
    found = await connection.find(find)
    if found is None:
        raise failed or StoreError("a part of the queue was deleted at once")
    return found
