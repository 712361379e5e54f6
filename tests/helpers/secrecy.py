"""All texts by which an exception could reveal a secret."""

import pickle
import traceback

from twilio_oauth_async import TwilioOAuthError


def texts_of(error):
    """Return what `error` shows to a log, a debugger or another process; its message is first, its repr second."""
    texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
    while error is not None:
        texts += [repr(error), repr(vars(error)), repr(error.args)]
        if isinstance(error, TwilioOAuthError):
            texts.append(repr(pickle.dumps(error)))
        error = error.__cause__ or error.__context__
    return texts


async def error_texts(call):
    """Return the `texts_of` the library's error that `call` raises, or [] where it raises none.

    The error must have no other exception behind it.
    """
    try:
        await call
    except TwilioOAuthError as error:
        caught = error
    else:
        return []
    assert caught.__context__ is caught.__cause__ is None
    return texts_of(caught)
