"""Delivered bytes as text: gzip in all its forms, the byte order mark, the limit, the faults."""

import gzip
import io
import tracemalloc
import zlib
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apitracker.core.compression import inflate
from apitracker.errors import LogError

unhurried = settings(deadline=None)  # a busy machine is no fault

BOM = b"\xef\xbb\xbf"
MIB = 1024 * 1024


def text(body: bytes, *, max_bytes: int = 64 * MIB) -> bytes:
    """All the text of *body*."""
    return b"".join(inflate(body, "log.json.gz", max_bytes=max_bytes))


def members(body: bytes, cuts: list[int]) -> bytes:
    """*body* as a gzip stream of several members, cut at *cuts*."""
    places = [0, *sorted(cuts), len(body)]
    return b"".join(gzip.compress(body[a:b], 1) for a, b in pairwise(places))


def named(body: bytes) -> bytes:
    """*body* as `gzip FILE` makes it: with the file's name and time in the header."""
    file = io.BytesIO()
    with gzip.GzipFile("110000_CloudTrail.json", "wb", fileobj=file, mtime=1) as f:
        f.write(body)
    return file.getvalue()


def headed(body: bytes) -> bytes:
    """*body* behind a header with every optional field: extra, name, comment, check sum."""
    stream = gzip.compress(body)
    head = stream[:3] + b"\x1e" + stream[4:10] + b"\x03\x00abc" + b"name\0" + b"comment\0"
    return head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") + stream[10:]


class TestText:
    """The text comes back as it was, whatever it was packed in."""

    @pytest.mark.parametrize(
        "body",
        [
            b'{"Records":[]}',
            gzip.compress(b'{"Records":[]}'),
            gzip.compress(b'{"Records":[]}', 0),
            gzip.compress(b'{"Rec') + gzip.compress(b'ords":[]}'),
            gzip.compress(b"") + gzip.compress(b'{"Records":[]}') + gzip.compress(b""),
            gzip.compress(b'{"Records":[]}') + bytes(512),
            named(b'{"Records":[]}'),
            headed(b'{"Records":[]}'),
            BOM + b'{"Records":[]}',
            gzip.compress(BOM + b'{"Records":[]}'),
            gzip.compress(b"") + gzip.compress(BOM + b'{"Records":[]}'),
            gzip.compress(BOM) + gzip.compress(b'{"Records":[]}'),
            gzip.compress(BOM[:1]) + gzip.compress(BOM[1:] + b'{"Records":[]}'),
        ],
        ids=[
            "plain",
            "gzip",
            "stored",
            "two members",
            "empty members",
            "padded with zeros",
            "file name in the header",
            "full header",
            "mark",
            "mark in gzip",
            "mark behind an empty member",
            "mark alone in a member",
            "mark cut in two",
        ],
    )
    def test_is_recognised(self, body: bytes) -> None:
        """The content says what it is: no name is asked, and a byte order mark is dropped."""
        assert text(body) == b'{"Records":[]}'

    def test_only_one_mark_is_dropped(self) -> None:
        """A byte order mark inside the text is text."""
        assert text(BOM + b"a" + BOM + b"b") == b"a" + BOM + b"b"

    @pytest.mark.parametrize("body", [b"\x1f", b"\x8b\x1f", b"P", b"\0"])
    def test_what_is_no_gzip_is_plain(self, body: bytes) -> None:
        """Bytes that do not begin like gzip come back untouched."""
        assert text(body) == body

    @pytest.mark.parametrize("size", [1, 131_071, 131_072, 131_073, 400_000])
    def test_long(self, size: int) -> None:
        """Nothing is lost between two pieces, packed or not, and none is longer than 128 KiB."""
        body = bytes(at % 251 + 1 for at in range(size))

        for packed in (body, gzip.compress(body, 1)):
            pieces = list(inflate(packed, "log", max_bytes=size))
            assert b"".join(pieces) == body
            assert all(0 < len(piece) <= 131_072 for piece in pieces)

    @unhurried
    @given(st.binary(min_size=1).filter(lambda b: not b.startswith((b"\x1f\x8b", b"\xef"))))
    def test_packing_changes_nothing(self, body: bytes) -> None:
        """What is packed and inflated is what was there."""
        assert text(gzip.compress(body, 1)) == text(body) == body

    @unhurried
    @given(st.binary(min_size=1, max_size=400), st.lists(st.integers(0, 400), max_size=8))
    def test_every_member_is_read(self, body: bytes, cuts: list[int]) -> None:
        """Wherever a gzip stream is cut into members, the text is the same."""
        body = b"{" + body

        assert text(members(body, [min(cut, len(body)) for cut in cuts])) == body


class TestFault:
    """What cannot be read whole is named, and nothing of it is given as if it were all."""

    @pytest.mark.parametrize(
        "body",
        [b"", gzip.compress(b""), gzip.compress(b"") * 3, gzip.compress(b"") + bytes(8)],
        ids=["nothing", "gzip of nothing", "members of nothing", "padding"],
    )
    def test_empty(self, body: bytes) -> None:
        """An empty log is an error: CloudTrail writes one without records in so many words."""
        with pytest.raises(LogError, match=r"^log\.json\.gz: is empty; .*\{\"Records\":\[\]\}$"):
            text(body)

    @pytest.mark.parametrize("length", [2, 5, 10, 11, 40, 80, -9, -8, -4, -1])
    def test_cut_off(self, length: int) -> None:
        """A gzip stream is cut off wherever it ends early: header, data, check sum."""
        packed = gzip.compress(bytes(range(256)))

        with pytest.raises(LogError, match=r"^log\.json\.gz: is cut off: its gzip stream has no"):
            text(packed[:length])

    def test_cut_off_in_a_later_member(self) -> None:
        """The members before the cut do not make the log whole."""
        with pytest.raises(LogError, match="is cut off"):
            text(gzip.compress(b"first") + gzip.compress(b"second")[:-1])

    @pytest.mark.parametrize("at", [-8, -4], ids=["check sum", "length"])
    def test_wrong_trailer(self, at: int) -> None:
        """A stream that does not add up to what it says is damaged."""
        packed = bytearray(gzip.compress(b'{"Records":[]}'))
        packed[at] ^= 1

        with pytest.raises(LogError, match=r"^log\.json\.gz: is damaged: .*; fetch it again$"):
            text(bytes(packed))

    def test_unknown_method(self) -> None:
        """A header that no one has defined is damage."""
        with pytest.raises(LogError, match="is damaged"):
            text(b"\x1f\x8b\x07" + gzip.compress(b"text")[3:])

    @pytest.mark.parametrize("rest", [b"x", b"\0x", b'{"Records":[]}', b"\x1f"])
    def test_more_behind_it(self, rest: bytes) -> None:
        """Only zeros and further members may stand behind a member."""
        with pytest.raises(LogError, match=f"is damaged: {len(rest)} bytes after its gzip stream"):
            text(gzip.compress(b"text") + rest)

    @unhurried
    @given(st.binary(min_size=50, max_size=300), st.integers(0, 10_000), st.integers(1, 255))
    def test_damage_never_passes_for_text(self, body: bytes, place: int, change: int) -> None:
        """One changed byte in the data or behind it never gives another text."""
        packed = bytearray(gzip.compress(body, 1))
        packed[10 + place % (len(packed) - 10)] ^= change

        with suppress(LogError):  # the last bits of the data mean nothing
            assert text(bytes(packed)) == body


class TestLimit:
    """The limit is on the inflated size."""

    @pytest.mark.parametrize("body", [b"x" * 1000, gzip.compress(b"x" * 1000, mtime=0)])
    def test_to_the_byte(self, body: bytes) -> None:
        """A log may be as long as the limit, and no byte longer."""
        assert text(body, max_bytes=1000) == b"x" * 1000
        with pytest.raises(LogError, match=r"^log\.json\.gz: holds more than 999 bytes when infl"):
            text(body, max_bytes=999)

    def test_says_how_to_raise_it(self) -> None:
        """The error names the setting, and writes the limit so that it can be read."""
        with pytest.raises(LogError, match=r"more than 1,048,576 .* APITRACKER_MAX_LOG_BYTES"):
            text(bytes(MIB + 1), max_bytes=MIB)

    def test_holds_for_all_members_together(self) -> None:
        """Many small members are one long log."""
        with pytest.raises(LogError, match="holds more than 99 bytes"):
            text(gzip.compress(b"0123456789") * 10, max_bytes=99)

    @pytest.mark.parametrize("count", [1, 16])
    def test_bomb_is_not_inflated(self, count: int) -> None:
        """A few kilobytes that would become 128 MiB are refused at the limit, with its memory."""
        bomb = gzip.compress(bytes(128 * MIB // count), 1) * count
        tracemalloc.start()
        try:
            with pytest.raises(LogError, match="holds more than 1,048,576 bytes"):
                list(inflate(bomb, "bomb", max_bytes=MIB))
            assert tracemalloc.get_traced_memory()[1] < 6 * MIB
        finally:
            tracemalloc.stop()
