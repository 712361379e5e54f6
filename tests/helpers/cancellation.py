"""Cancel a call at its first await, at its second, and so on: ``for cancellation in at_each_await()``."""

from twilio_oauth_async.stores.testing.checks import Cancellation, at_each_await

__all__ = ["Cancellation", "at_each_await"]
