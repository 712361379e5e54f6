"""All texts by which an exception could reveal a secret."""

from twilio_oauth_async.stores.testing.checks import error_texts, texts_of

__all__ = ["error_texts", "texts_of"]
