"""The parameters of the questions to the page, as they are named in an address."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Parameters(BaseModel):
    """The parameters of a question, of which there are none in every case."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectedParameters(Parameters):
    """A selection of calls."""

    since: Annotated[
        str | None,
        Field(
            description="From this eventTime on: 2026-10-01, 2026-10-01T12:30Z, or an age such as"
            " 2h or 7d. Without an offset a time is UTC. By default from the first call on.",
            examples=["2026-10-01T12:30Z", "7d"],
        ),
    ] = None
    until: Annotated[
        str | None,
        Field(
            description="Before this eventTime, written like since. By default to the last call.",
            examples=["2026-10-02"],
        ),
    ] = None
    where: Annotated[
        tuple[str, ...],
        Field(
            description="FIELD=GLOB: only calls whose FIELD matches. Several globs of one field are"
            " alternatives; several fields must all match.",
            examples=[["eventName=Describe*", "outcome=throttled"]],
        ),
    ] = ()


class SeriesParameters(SelectedParameters):
    """The series of calls over time."""

    by: Annotated[
        str, Field(description="The field to stack by, which is not a time.", examples=["caller"])
    ] = "eventSource"
    most: Annotated[
        int, Field(ge=1, le=50, description="How many values have a series of their own.")
    ] = 8


class RowsParameters(SelectedParameters):
    """The fields, the order and the search of rows."""

    by: Annotated[
        str,
        Field(
            description="The fields of a row, separated by commas.",
            examples=["caller", "day,awsRegion"],
        ),
    ] = "eventSource,eventName"
    sort: Annotated[
        Literal["calls", "throttled", "denied", "failed", "name"],
        Field(description="The order of rows; name is the order of the fields themselves."),
    ] = "calls"
    descending: Annotated[bool, Field(description="Most, or last by code point, first.")] = True
    search: Annotated[
        str,
        Field(
            max_length=1_000,
            description="Only rows with this text in one of their fields, in any case.",
        ),
    ] = ""


class TopParameters(RowsParameters):
    """Rows of a table."""

    limit: Annotated[int, Field(ge=1, le=500, description="Return at most so many rows.")] = 25
    offset: Annotated[int, Field(ge=0, le=1_000_000_000, description="Skip so many rows.")] = 0


class ThresholdParameters(SelectedParameters):
    """The selection of the calls that an alarm counts."""

    outcome: Annotated[
        Literal["", "throttled", "denied", "failed"],
        Field(description="Only calls that ended so; empty for all."),
    ] = ""


class IncidentParameters(SelectedParameters):
    """The selection of throttled or denied calls."""

    outcome: Annotated[
        Literal["throttled", "denied"], Field(description="How the calls ended.")
    ] = "throttled"


class ExportParameters(RowsParameters):
    """The rows of a file, all of them."""

    format: Annotated[Literal["csv", "json"], Field(description="The format of the file.")] = "csv"
