"""Times as users type and read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apitracker.core.times import label, parse, write
from apitracker.errors import UsageError

unhurried = settings(deadline=None)  # a busy machine is no fault

NOW = datetime(2026, 10, 1, 12, 0, 30, 999_999, tzinfo=UTC)
NOON = 1_790_856_030  # NOW, in seconds since 1970

seconds = st.integers(-62_135_596_800, 253_402_300_799)  # the years 1 to 9999
widths = st.sampled_from([("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)])


class TestWrite:
    """A time is written as short as its width allows, in UTC."""

    @pytest.mark.parametrize(
        ("field", "second", "text"),
        [
            ("second", 1_688_989_327, "2023-07-10T11:42:07Z"),
            ("minute", 1_688_989_320, "2023-07-10T11:42Z"),
            ("hour", 1_688_986_800, "2023-07-10T11Z"),
            ("day", 1_688_947_200, "2023-07-10"),
            ("second", 0, "1970-01-01T00:00:00Z"),
            ("second", -1, "1969-12-31T23:59:59Z"),
            ("minute", -60, "1969-12-31T23:59Z"),
            ("day", -86_400, "1969-12-31"),
            ("day", -62_135_596_800, "0001-01-01"),
            ("second", -62_135_596_800, "0001-01-01T00:00:00Z"),
            ("second", 253_402_300_799, "9999-12-31T23:59:59Z"),
        ],
    )
    def test_example(self, field: str, second: int, text: str) -> None:
        """Every width has its form, in every year."""
        assert write(field, second) == text

    @unhurried
    @given(seconds, widths)
    def test_is_read_again(self, second: int, width: tuple[str, int]) -> None:
        """What is written of a minute, hour or day is read as its start."""
        field, length = width

        assert parse(write(field, second), now=NOW) == second - second % length

    @unhurried
    @given(seconds, seconds, widths)
    def test_sorts_like_time(self, a: int, b: int, width: tuple[str, int]) -> None:
        """Of two times the earlier is written with the lesser text."""
        early, late = sorted([a, b])

        assert write(width[0], early) <= write(width[0], late)


class TestLabel:
    """Any value is written as it stands in tables and files."""

    @pytest.mark.parametrize(
        ("field", "value", "text"),
        [
            ("minute", 1_688_989_320, "2023-07-10T11:42Z"),
            ("day", 0, "1970-01-01"),
            ("eventName", "GetObject", "GetObject"),
            ("eventName", "", ""),
            ("eventName", 0, "0"),
            ("readOnly", "true", "true"),
            ("minute", "", ""),
        ],
    )
    def test_example(self, field: str, value: object, text: str) -> None:
        """Numbers are times only in the fields that are times."""
        assert label(field, value) == text


class TestParse:
    """A point in time is an ISO time or an age."""

    @pytest.mark.parametrize(
        ("text", "second"),
        [
            ("2026-10-01", 1_790_812_800),
            ("2026-10-01T12", 1_790_856_000),
            ("2026-10-01T12Z", 1_790_856_000),
            ("2026-10-01T12:30", 1_790_857_800),
            ("2026-10-01T12:30Z", 1_790_857_800),
            ("2026-10-01 12:30", 1_790_857_800),
            ("2026-10-01T12:30:05Z", 1_790_857_805),
            ("2026-10-01T12:30:05.999Z", 1_790_857_806),
            ("2026-10-01T12:30:00+02:00", 1_790_850_600),
            ("2026-10-01T12:30:00-05:30", 1_790_877_600),
            ("  2026-10-01\n", 1_790_812_800),
            ("1969-12-31T23:59:59.5Z", 0),
            ("0001-01-01", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ],
    )
    def test_iso(self, text: str, second: int) -> None:
        """An ISO time is read as UTC unless it says otherwise, to the second below."""
        assert parse(text, now=NOW) == second

    @pytest.mark.parametrize(
        ("text", "ago"),
        [
            ("0s", 0),
            ("90s", 90),
            ("5m", 300),
            ("2h", 7_200),
            ("7d", 604_800),
            ("4w", 2_419_200),
            (" 2 h ", 7_200),
            ("007d", 604_800),
        ],
    )
    def test_age(self, text: str, ago: int) -> None:
        """An age is that long before now, wherever now is told."""
        assert parse(text, now=NOW) == NOON - ago
        assert parse(text, now=NOW.astimezone(timezone(timedelta(hours=-7)))) == NOON - ago

    @unhurried
    @given(st.integers(0, 9_999), st.sampled_from("smhdw"))
    def test_age_of_any_length(self, n: int, unit: str) -> None:
        """An age is as long as so many of its unit."""
        length = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}[unit]

        assert parse(f"{n}{unit}", now=NOW) == NOON - n * length

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026-10-01T25:00",
            "2026-10-01T12:30ZZ",
            "10000-01-01",
            "12:30",
            "2y",
            "2H",
            "h",
            "-2h",
            "1.5h",
            "2h30m",
            "1234567890s",
            "\u0662h",  # an Arabic digit
            "1790856000",
        ],
    )
    def test_no_time(self, text: str) -> None:
        """What is no time is refused, with what to write."""
        with pytest.raises(UsageError) as caught:
            parse(text, now=NOW)

        assert str(caught.value) == (
            f"{text}: not a time: use 2026-10-01, 2026-10-01T12:30Z, or an age like 2h or 7d"
        )

    @unhurried
    @given(st.text(max_size=20))
    def test_any_text(self, text: str) -> None:
        """Any text is a time or a question that cannot be asked."""
        try:
            second = parse(text, now=NOW)
        except UsageError as e:
            assert str(e).startswith(text)  # noqa: PT017
        else:
            assert isinstance(second, int)
