"""
Cut long JSON text into short lists: these stay in the processor's cache while they are read.

Text comes in pieces, as it is inflated. Each piece but the last is cut at its last place where one
object of the list ends and the next one begins with the same key::

    pieces   {"Records":[{"a":1},{"a":2},{"a":   3},{"a":4},{"a":   5}]}
                                        ✂              ✂
    lists    [{"a":1},{"a":2}]   [{"a":3},{"a":4}]   {"Records":[{"a":5}]}

The last list has the text before the first one again, so it shows what stands behind the list:

>>> pieces = iter([b'{"Records":[{"a":1},{"a":2},{"a":', b'3},{"a":4},{"a":', b'5}]}'])
>>> for text in cut_records(pieces):
...     print(text.decode())
[{"a":1},{"a":2}]
[{"a":3},{"a":4}]
{"Records":[{"a":5}]}

See benchmarks/RESULTS.md for what it saves.
"""

import io
import itertools
import re
from collections.abc import Iterator
from typing import Final

HEAD: Final = b'{"Records":['
KEY: Final = re.compile(rb'\{"\w+":')  # the beginning of an object, to its first colon


def cut_records(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """
    Cut one long ``{"Records":[…]}`` into lists of records and, at the end, a short one.

    A cut goes between two records that begin with the same key. Such a place may also be in
    another list of objects, inside a record or behind the records; then the text that is cut off
    is not JSON, and shows it. Text of another form is not cut.
    """
    first = next(pieces, b"")
    key = first[len(HEAD) : first.find(b":", len(HEAD)) + 1]  # {"eventVersion":
    if not first.startswith(HEAD) or not KEY.fullmatch(key):
        whole = io.BytesIO()  # holds the text once, where a join would hold its pieces too
        whole.writelines(itertools.chain([first], pieces))
        yield whole.getvalue()
        return
    yield from cut_list(itertools.chain([first[len(HEAD) :]], pieces), HEAD, b"}," + key)


def cut_list(pieces: Iterator[bytes], head: bytes, mark: bytes) -> Iterator[bytes]:
    """
    Cut JSON text between objects of a list, at *mark*: ``},`` and the key of the next object.

    *pieces* begin behind the bracket of the list, *head* is the text up to it. Each cut gives a
    list; the last text is *head* and the rest.
    """
    held: list[bytes] = []  # since the last cut
    latest = next(pieces, b"")
    for following in pieces:  # so that the last piece is not cut
        at = latest.rfind(mark)
        if at < 0:
            held.append(latest)
        else:
            brace, comma = at + 1, at + 2  # the ends of the mark's } and its comma
            yield b"".join([b"[", *held, latest[:brace], b"]"])
            held = [latest[comma:]]
        latest = following
    yield b"".join([head, *held, latest])


def join_records(texts: list[bytes]) -> bytes:
    """Undo the cuts of `cut_records`."""
    *lists, last = texts
    if not lists:
        return last
    inner = [text[1:-1] for text in lists]  # without their brackets
    return HEAD + b",".join([*inner, last[len(HEAD) :]])
