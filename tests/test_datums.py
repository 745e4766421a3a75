"""Datums: the times and the texts that CloudWatch takes, and those that it is given instead."""

import re

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import example, given
from hypothesis import strategies as st

from apitracker.core import datums
from apitracker.core.datums import Datum, Dimension, split_by_age, valid

MINUTE = 1_688_989_320  # 2023-07-10T11:42:00Z
NOW = 1_790_000_000.0
CLOUDWATCH = ServiceModel(Loader().load_service_model("cloudwatch", "service-2"), "cloudwatch")
PUT = CLOUDWATCH.operation_model("PutMetricData").input_shape
DATUM = PUT.members["MetricData"].member
SHAPES = {
    "MetricName": DATUM.members["MetricName"],
    "Value": DATUM.members["Dimensions"].member.members["Value"],
}
ASCII = re.compile(r"[ -~]*[!-~][ -~]*")
"""What the API reference asks of names and values: ASCII, no control characters, not blank."""

texts = st.text(
    st.one_of(st.characters(), st.characters(max_codepoint=0x7F), st.sampled_from(" :~_\x7f\ud800"))
)


class TestSplitByAge:
    """The times that CloudWatch takes."""

    @pytest.mark.parametrize(
        ("seconds", "taken"),
        [(-1_209_601, False), (-1_209_600, True), (0, True), (7_200, True), (7_201, False)],
    )
    def test_two_weeks_back_and_two_hours_ahead(self, seconds: int, *, taken: bool) -> None:
        """Both bounds are taken, and a second beyond is not."""
        datum = _datum(timestamp=int(NOW) + seconds)
        assert split_by_age([datum], NOW) == (([datum], []) if taken else ([], [datum]))

    def test_limits(self) -> None:
        """Our numbers are those of the model, and of the text in it where it has no number."""
        assert SHAPES["MetricName"].metadata["max"] == datums.NAME_LENGTH
        assert SHAPES["Value"].metadata["max"] == datums.VALUE_LENGTH
        text = CLOUDWATCH.operation_model("PutMetricData").documentation
        assert "up to 150 values per metric" in text
        assert "two weeks before the current date, and as much as 2 hours after" in text
        assert (datums.OLDEST, datums.NEWEST) == (1_209_600, 7_200)
        assert "You can use up to 30 dimensions" in text

    @given(st.lists(st.integers(-1_500_000, 20_000)))
    def test_each_is_in_one_place(self, ages: list[int]) -> None:
        """Nothing is lost, doubled or put in another order."""
        data = [_datum(f"N{at}", int(NOW) + age) for at, age in enumerate(ages)]
        taken, refused = split_by_age(data, NOW)
        assert sorted([*taken, *refused], key=data.index) == data
        assert taken == [d for d in data if d in taken]
        assert refused == [d for d in data if d in refused]


class TestValid:
    """Names and values that CloudWatch takes."""

    @pytest.mark.parametrize(
        "text",
        ["GetObject", "a b", " a", "a ", "a+b", "a:b", "a~b", "-", "~", "x" * 255],
    )
    def test_what_is_taken_stays(self, text: str) -> None:
        """A valid name is not touched."""
        assert valid(text, 255) == text

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "-"),
            (" ", "~36a9e7f1c95b"),
            ("Größe", "Gr__e~aedc3f80989a"),
            ("a\nb", "a_b~7e18f737311b"),
            ("a\x7fb", "a_b~4ef992561c6e"),
            (":a", "_a~b5c5cc1fbe8f"),
            ("\ud800", "_~91a681b99855"),
            ("y" * 256, "y" * 242 + "~80fa903654ca"),
            ("a~0123456789ab", "a~0123456789ab~b853f9b12215"),
        ],
    )
    def test_examples(self, text: str, expected: str) -> None:
        """Bad characters become ``_``, and what was changed ends with a hash of what it was."""
        assert valid(text, 255) == expected

    def test_lengths(self) -> None:
        """255 and 1,024 characters are taken, and one more is cut."""
        for length in (255, 1024):
            assert valid("x" * length, length) == "x" * length
            assert len(valid("x" * (length + 1), length)) == length
            assert len(valid("é" * 300_000, length)) == length

    @pytest.mark.parametrize("text", [":", ":é", " :é", "\t:a", "  :  \x00", ":~0123456789ab"])
    def test_never_a_leading_colon(self, text: str) -> None:
        """A name that begins with a colon is refused, also one behind a blank that is cut away."""
        assert valid(text, 255)[0] != ":"

    @given(texts, st.sampled_from([255, 1024]))
    @example("~0123456789ab", 255)
    @example("x" * 242 + "~0123456789ab", 255)
    def test_always_taken(self, text: str, length: int) -> None:
        """Whatever comes in, what comes out fits the length, is ASCII and is not blank."""
        made = valid(text, length)
        assert 1 <= len(made) <= length
        assert ASCII.fullmatch(made)

    @given(texts, st.sampled_from(["MetricName", "Value"]))
    def test_always_taken_by_the_model(self, text: str, shape: str) -> None:
        """It fits the bounds, and the pattern if there is one, that botocore's model states."""
        bounds = SHAPES[shape].metadata
        made = valid(text, bounds["max"])
        assert bounds["min"] <= len(made) <= bounds["max"]
        assert re.fullmatch(bounds.get("pattern", ".*"), made)

    @given(texts)
    def test_what_stays_stays_again(self, text: str) -> None:
        """A text that is not changed is not changed by a second time either; blank is ``-``."""
        made = valid(text, 255)
        if made in {text, "-"}:
            assert valid(made, 255) == made

    @given(st.lists(texts, unique=True, min_size=2), st.sampled_from([20, 255]))
    @example(["a\n", "a\r", "a_", "a"], 255)
    @example(["é", "_~4a99557e4033"], 255)
    @example(["x" * 300, "x" * 301, "x" * 255], 255)
    @example(["\ud800", "\udfff", "�", "?"], 255)
    @example([" ", "  ", "\t"], 255)
    def test_two_never_become_one(self, texts: list[str], length: int) -> None:
        """Two different texts stay two; only an absent one is published as a dash would be."""
        given = [text for text in texts if text]
        assert len({valid(text, length) for text in given}) == len(given)

    @given(texts)
    def test_a_made_name_is_no_other_name(self, text: str) -> None:
        """A text that looks like what is made of another one is told apart from it."""
        made = valid(text, 255)
        assert made in {text, "-"} or valid(made, 255) != made


def _datum(name: str = "GetObject", timestamp: int = MINUTE) -> Datum:
    return Datum(name, (Dimension("awsRegion", "eu-west-1"),), timestamp, [1], [1])
