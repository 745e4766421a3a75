"""Which calls are selected, by time and by globs over fields."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apitracker.core.counts import Counts
from apitracker.core.fields import Row
from apitracker.core.selection import (
    ALL,
    Selection,
    matcher,
    parse_selection,
    parse_where,
)
from apitracker.core.times import EPOCH, SECOND, write
from apitracker.errors import UsageError

unhurried = settings(deadline=None)  # a busy machine is no fault

T = 1_688_989_327  # 2023-07-10T11:42:07Z

BY = ("eventName", "eventSource", "errorCode", "second")
ROW = ("GetObject", "s3.amazonaws.com", "")


def selected(where: list[str], row: tuple[str, ...] = ROW, second: int = T) -> bool:
    """Whether *where* selects the call."""
    return Counts(BY, {(*row, second): 1}).where(parse_where(where)).calls == 1


class TestParseWhere:
    """FIELD=GLOB texts become globs by field."""

    def test_example(self) -> None:
        """A field's globs are gathered in their order; a glob may hold an equals sign."""
        assert parse_where(
            ["eventSource=s3.*", "eventName=Get*", "eventSource=ec2.*", "caller=a=b", "errorCode="]
        ) == {
            "eventSource": ("s3.*", "ec2.*"),
            "eventName": ("Get*",),
            "caller": ("a=b",),
            "errorCode": ("",),
        }

    def test_nothing(self) -> None:
        """No texts are no globs."""
        assert parse_where([]) == {}

    @pytest.mark.parametrize("text", ["", "eventName", "Get*", "eventName:Get*"])
    def test_no_equals_sign(self, text: str) -> None:
        """A text without an equals sign is refused, with an example."""
        with pytest.raises(UsageError) as caught:
            parse_where([text])

        assert str(caught.value) == f"{text}: write FIELD=GLOB, as in eventSource=s3.*"

    @pytest.mark.parametrize(
        "field", ["", "eventname", "eventID", "failed", "eventName ", "userAgent"]
    )
    def test_no_field(self, field: str) -> None:
        """A name that is no field is refused, with those that are."""
        with pytest.raises(UsageError) as caught:
            parse_where([f"{field}=x"])

        assert str(caught.value) == (
            f"{field}: no such field; choose from second, minute, hour, day, eventName, "
            "eventSource, awsRegion, recipientAccountId, callerAccountId, caller, errorCode, "
            "outcome, readOnly, eventCategory, eventType, eventVersion"
        )


class TestPossible:
    """What can match no value is refused where a person asks it."""

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("outcome=throttle", "matches none of its values: ok, throttled, denied, failed"),
            ("outcome=", "matches none of its values: ok, throttled, denied, failed"),
            ("readOnly=True", "matches none of its values: true, false, nothing at all"),
            (
                "minute=2026-10-30T14:19",
                "no minute is written so; one is minute=2026-10-30T14:19Z, with * for any text",
            ),
            (
                "hour=2026-10-30T14:00Z",
                "no hour is written so; one is hour=2026-10-30T14Z, with * for any text",
            ),
            ("day=2026-10", "no day is written so; one is day=2026-10-30, with * for any text"),
            (
                "second=[a-z]*",
                "no second is written so; one is second=2026-10-30T14:19:27Z, with * for any text",
            ),
            (
                "eventName=!Get*",
                (
                    "! does not negate: write what should match; eventName=?Get* for a value that "
                    "begins so"
                ),
            ),
        ],
    )
    def test_refused(self, text: str, fault: str) -> None:
        """The message has what was written, and what can be."""
        with pytest.raises(UsageError) as caught:
            parse_selection(None, None, [text])

        assert str(caught.value) == f"{text}: {fault}"

    @pytest.mark.parametrize(
        "text",
        [
            "outcome=thr*",
            "outcome=[!o]*",
            "readOnly=",
            "readOnly=t*",
            "eventName=",
            "eventName=[!G]*",
            "minute=*",
            "minute=2026-10-*Z",
            "hour=2026-10-30T0[0-3]Z",
            "hour=*T1?Z",
            "day=2023-*",
            "day=????-0[!1]-*",
            "second=*:00Z",
        ],
    )
    def test_taken(self, text: str) -> None:
        """What can match something is taken as it is; an absent field is an empty one."""
        field, _, glob = text.partition("=")

        assert parse_selection(None, None, [text]).where == {field: (glob,)}

    @unhurried
    @given(
        st.datetimes(),
        st.sampled_from(["second", "minute", "hour", "day"]),
        st.lists(st.integers(0, 19), max_size=4),
        st.sampled_from(["?", "*", "[0-9]", "[!x]"]),
    )
    def test_no_time_is_lost(self, time: Any, field: str, at: list[int], wild: str) -> None:  # noqa: ANN401
        """A glob that matches some time, whatever is wild in it, is never refused."""
        text = write(field, (time - EPOCH.replace(tzinfo=None)) // SECOND)
        glob = "".join(
            wild if n in at and (c.isdigit() or wild != "[0-9]") else c for n, c in enumerate(text)
        )

        assert matcher(field, [glob])(text)
        parse_selection(None, None, [f"{field}={glob}"])

    def test_rules_of_deployed_stacks_stay(self) -> None:
        """A rule that matches nothing is read as it was: nothing stops counting for it."""
        assert parse_where(["outcome=throttle", "eventName=!X"]) == {
            "outcome": ("throttle",),
            "eventName": ("!X",),
        }

    def test_not_equal(self) -> None:
        """``!=`` is not taken for a field."""
        with pytest.raises(UsageError) as caught:
            parse_where(["eventName!=Get"])

        assert str(caught.value) == (
            "eventName!=Get: there is no !=: write what should match, as in errorCode=?*"
        )

    def test_bytes_that_are_not_utf_8(self) -> None:
        """What Python marks as other bytes is in no log, and DuckDB does not take it."""
        with pytest.raises(UsageError, match="not in UTF-8: write the glob in UTF-8"):
            parse_where(["eventName=\udcff"])


class TestGlob:
    """A glob matches the whole value."""

    @pytest.mark.parametrize(
        ("glob", "value", "matches"),
        [
            ("GetObject", "GetObject", True),
            ("Get", "GetObject", False),
            ("Object", "GetObject", False),
            ("Get*", "GetObject", True),
            ("*Object", "GetObject", True),
            ("*tO*", "GetObject", True),
            ("*", "", True),
            ("*", "any\nlines\u2028", True),
            ("Get*", "Get\nObject", True),
            ("GetObject", "GetObject\n", False),
            ("get*", "GetObject", False),
            ("GetObjec?", "GetObject", True),
            ("GetObject?", "GetObject", False),
            ("[GP]et*", "GetObject", True),
            ("[!G]*", "GetObject", False),
            ("[", "[", True),
            ("s3.*", "s3.amazonaws.com", True),
            ("s3.*", "s3xamazonaws.com", False),
            ("a+(b)|c", "a+(b)|c", True),
            ("a+(b)|c", "c", False),
            ("", "", True),
            ("", "x", False),
        ],
    )
    def test_example(self, glob: str, value: str, matches: bool) -> None:  # noqa: FBT001
        """Stars, question marks and brackets mean something; all else is itself, case too."""
        assert matcher("eventName", [glob])(value) is matches

    @unhurried
    @given(st.text(alphabet=st.characters(exclude_characters="*?[")), st.text())
    def test_without_wildcards_is_equality(self, glob: str, value: str) -> None:
        """A glob without wildcards matches itself and nothing else."""
        assert matcher("caller", [glob])(glob)
        assert matcher("caller", [glob])(value) == (glob == value)


class TestPredicate:
    """Fields must all match, each by one of its globs, within the times."""

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ([], True),
            (["eventName=Get*"], True),
            (["eventName=Put*"], False),
            (["eventName=Put*", "eventName=Get*"], True),
            (["eventName=Get*", "eventName=Put*"], True),
            (["eventName=Get*", "eventSource=s3.*"], True),
            (["eventName=Get*", "eventSource=ec2.*"], False),
            (["eventName=Put*", "eventSource=s3.*"], False),
            (["eventName=Put*", "eventSource=ec2.*", "eventSource=s3.*"], False),
            (["errorCode="], True),
            (["errorCode=?*"], False),
            (["errorCode=*"], True),
        ],
    )
    def test_fields(self, where: list[str], expected: bool) -> None:  # noqa: FBT001
        """Several globs of a field are alternatives; several fields must all match."""
        assert selected(where) is expected

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (["second=2023-07-10T11:42:07Z"], True),
            (["second=2023-07-10T11:42:08Z"], False),
            (["minute=2023-07-10T11:42Z"], True),
            (["minute=2023-07-10T11:43Z"], False),
            (["minute=2023-07-10T11:42:07Z"], False),
            (["hour=2023-07-10T11Z"], True),
            (["hour=*T1[01]Z"], True),
            (["hour=*T12Z"], False),
            (["day=2023-07-*"], True),
            (["day=2023-07-10"], True),
            (["day=2023-08-*"], False),
            (["day=2023-08-*", "day=2023-07-*"], True),
            (["day=2023-07-10", "hour=*T12Z"], False),
            (["day=2023-07-10", "eventName=Get*"], True),
            (["day=2023-07-10", "eventName=Put*"], False),
        ],
    )
    def test_times_by_glob(self, where: list[str], expected: bool) -> None:  # noqa: FBT001
        """A time matches by what is written of it."""
        assert selected(where) is expected

    def test_time_before_1970(self) -> None:
        """A second before 1970 is in the day that it is written in."""
        assert selected(["day=1969-12-31", "minute=*T23:59Z"], second=-1)

    @pytest.mark.parametrize(
        ("since", "until", "expected"),
        [
            (None, None, True),
            (T, None, True),
            (T + 1, None, False),
            (None, T, False),
            (None, T + 1, True),
            (T, T + 1, True),
            (T, T, False),
            (0, None, True),
            (None, 0, False),
        ],
    )
    def test_since_and_until(
        self,
        since: int | None,
        until: int | None,
        expected: bool,  # noqa: FBT001
    ) -> None:
        """The first second is in, the last is out; none is no bound; 0 is a bound."""
        assert Selection(since, until).spans(T) is expected

    def test_until_1970(self) -> None:
        """A bound at 0 is a bound."""
        assert [Selection(until=0).spans(second) for second in (-1, 0)] == [True, False]

    def test_fields_are_found_by_name(self) -> None:
        """The row may hold more fields, in any order."""
        rows: dict[Row, int] = {("ok", "s3.amazonaws.com"): 1, ("s3.amazonaws.com", "ok"): 2}
        counts = Counts(("outcome", "eventSource"), rows)

        found = counts.where({"eventSource": ("s3.*",)})

        assert found.rows == {("ok", "s3.amazonaws.com"): 1}

    @unhurried
    @given(st.integers(), st.tuples(st.text(), st.text(), st.text()))
    def test_all(self, second: int, row: tuple[str, ...]) -> None:
        """Without bounds and globs every call is selected."""
        assert ALL.spans(second)
        assert selected([], row, second)

    @unhurried
    @given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
    def test_two_neighbours_share_no_call(self, a: int, b: int, second: int) -> None:
        """Of a time cut in two at a place, every call is in exactly one half."""
        start, cut = sorted([a, b])
        halves = [Selection(start, cut), Selection(cut, 10)]

        assert sum(half.spans(second) for half in halves) == (start <= second)


class TestNeeds:
    """A selection says what it takes to tell."""

    @pytest.mark.parametrize(
        ("selection", "timed", "plain"),
        [
            (ALL, False, ()),
            (Selection(since=0), True, ()),
            (Selection(until=0), True, ()),
            (Selection(where={"day": ("2023-*",)}), True, ()),
            (
                Selection(where={"caller": ("*",), "eventName": ("*",)}),
                False,
                ("caller", "eventName"),
            ),
            (Selection(where={"hour": ("*",), "outcome": ("ok",)}), True, ("outcome",)),
        ],
    )
    def test_example(
        self,
        selection: Selection,
        timed: bool,  # noqa: FBT001
        plain: tuple[str, ...],
    ) -> None:
        """It takes the time for bounds and times, and the other fields by name."""
        assert (selection.timed, selection.plain) == (timed, plain)
