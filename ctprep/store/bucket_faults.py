"""What an object store's errors mean: one of ours, with what to do and without any secret.

Answers of a server can quote signatures, key ids and whole requests, so that none is shown: only
phrases that are known are looked for in them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from ctprep.store.errors import PlaceError

_DOCUMENT = "see docs/object_stores.md"
_NO_BUCKET = (
    "the bucket does not exist",
    "check the URL, or make the bucket with your provider's tools",
)
_NO_CREDENTIALS = (
    "there are no credentials for the bucket",
    f"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or those of your provider; {_DOCUMENT}",
)
_DENIED = (
    "the bucket refuses these credentials",
    f"check the keys, and that they may list, read, write and delete; {_DOCUMENT}",
)
_HTTP = (
    "the endpoint is plain HTTP, which is not allowed",
    "use https, or set AWS_ALLOW_HTTP=true for a server that you trust",
)
_UNREACHABLE = (
    "the object store does not answer",
    f"check the network and AWS_ENDPOINT_URL, then run again; {_DOCUMENT}",
)
UNCONDITIONAL = (
    "the object store cannot write on a condition, which keeps two writers apart",
    f"use a server that knows If-Match and If-None-Match; {_DOCUMENT}",
)
_PHRASES = (
    ("NoSuchBucket", _NO_BUCKET),
    ("ContainerNotFound", _NO_BUCKET),
    ("The specified bucket does not exist", _NO_BUCKET),
    ("Missing AccessKeyId", _NO_CREDENTIALS),
    ("Missing SecretAccessKey", _NO_CREDENTIALS),
    # Where no keys are set, the client asks the machine's own cloud for some.
    ("/latest/api/token", _NO_CREDENTIALS),
    ("/latest/meta-data", _NO_CREDENTIALS),
    ("/computeMetadata/", _NO_CREDENTIALS),
    ("/metadata/identity", _NO_CREDENTIALS),
    ("Account must be specified", _NO_CREDENTIALS),
    ("builder error", _HTTP),
    ("NotImplemented", UNCONDITIONAL),
    ("AccessDenied", _DENIED),
    ("InvalidAccessKeyId", _DENIED),
    ("SignatureDoesNotMatch", _DENIED),
    ("ExpiredToken", _DENIED),
    ("403 Forbidden", _DENIED),
    ("401 Unauthorized", _DENIED),
    ("error sending request", _UNREACHABLE),
    ("timed out", _UNREACHABLE),
    ("Server returned non-2xx status code: 5", _UNREACHABLE),
)
_KINDS: tuple[tuple[type[Exception], tuple[str, str]], ...] = (
    (NotSupportedError, UNCONDITIONAL),
    (PermissionDeniedError, _DENIED),
    (UnauthenticatedError, _DENIED),
)
_UNKNOWN = "the object store gave an error that we do not know"


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn errors of the object store into ours; absent objects stay `FileNotFoundError`.

    Args:
        where: the store's URL.

    Raises:
        PlaceError: the store cannot be reached, or refuses.
    """
    try:
        yield
    except FileNotFoundError as error:
        # A bucket that is not there is told as if it were an object.
        fault = _known(error)
        if fault is None:
            raise FileNotFoundError from None
        raise PlaceError(fault[0], mend=fault[1], where=where) from None
    except BaseError as error:
        unknown = (f"{_UNKNOWN}: {type(error).__name__}", _DOCUMENT)
        what, mend = _known(error) or unknown
        # Without its cause, whose text may hold what must not be shown.
        raise PlaceError(what, mend=mend, where=where) from None


def _known(error: Exception) -> tuple[str, str] | None:
    text = str(error)
    for phrase, fault in _PHRASES:
        if phrase in text:
            return fault
    return next((fault for kind, fault in _KINDS if isinstance(error, kind)), None)
