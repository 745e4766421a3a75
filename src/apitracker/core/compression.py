"""Delivered bytes become text: gzip is recognised by its content, never by a name."""

from collections.abc import Iterator
from typing import Final, cast

from isal import igzip_lib, isal_zlib

from apitracker.errors import LogError
from apitracker.settings import DEFAULTS

GZIP: Final = b"\x1f\x8b"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# isal's type stub has an instance here, not the class.
DAMAGED: Final = cast("type[Exception]", isal_zlib.error)
MAX_BYTES: Final = DEFAULTS.max_log_bytes  # of one log when inflated
FEED: Final = 16 * 1024  # bytes of gzip at a time
PIECE: Final = 128 * 1024  # bytes of text at a time: they stay in the processor's cache


def inflate(body: bytes, name: str, *, max_bytes: int) -> Iterator[bytes]:
    """
    Return the text of *body* in pieces, gzip or not, without a byte order mark.

    All members of a gzip stream are read; some readers stop at the first and lose the rest.
    `LogError`, naming *name*, if *body* is empty, cut off, damaged or longer than *max_bytes*
    when inflated.
    """
    size = 0
    text = b""
    for piece in _members(body, name) if body.startswith(GZIP) else _slices(body):
        size += len(piece)
        if size > max_bytes:
            raise too_long(name, max_bytes)
        text += piece
        if size > len(BYTE_ORDER_MARK):
            yield text.removeprefix(BYTE_ORDER_MARK) if size == len(text) else text
            text = b""
    if 0 < size <= len(BYTE_ORDER_MARK):
        yield text.removeprefix(BYTE_ORDER_MARK)
    if size == 0:
        raise LogError(name, 'is empty; a log without records is {"Records":[]}')


def too_long(name: str, max_bytes: int) -> LogError:
    """Return the error for a log, named *name*, that is longer than *max_bytes*."""
    fault = f"holds more than {max_bytes:,} bytes when inflated"
    remedy = "raise APITRACKER_MAX_LOG_BYTES, or the memory of a Lambda function, if that is right"
    return LogError(name, f"{fault}; {remedy}", lasting=False)


def _slices(body: bytes) -> Iterator[bytes]:
    return (body[at : at + PIECE] for at in range(0, len(body), PIECE))


def _members(body: bytes, name: str) -> Iterator[bytes]:
    given = memoryview(body)
    at = 0
    while body.startswith(GZIP, at):
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not member.eof:
            if member.needs_input and at == len(body):
                raise LogError(name, "is cut off: its gzip stream has no end; fetch it again")
            # A little at a time: what a member leaves over is copied, and there may be many.
            more = given[at : at + FEED] if member.needs_input else b""
            at += len(more)
            try:
                yield member.decompress(more, PIECE)
            except DAMAGED as e:
                raise LogError(name, "is damaged: its gzip is wrong; fetch it again") from e
        at -= len(member.unused_data)
    if body[at:].strip(b"\0"):  # padding with zeros is common and means nothing
        raise LogError(name, f"is damaged: {len(body) - at:,} bytes after its gzip stream")
