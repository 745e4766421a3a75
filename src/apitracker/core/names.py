"""
API names that carry the date of their API's version: UpdateFunctionCode20150331v2.

Lambda and CloudFront write most of their names so. Metrics and rules keep the name as the record
has it; where a person asks for UpdateFunctionCode, its dated spellings are selected too.
"""

import re
from collections.abc import Iterable
from typing import Final

CLOUDFRONT: Final = "cloudfront.amazonaws.com"
DATED: Final = frozenset({CLOUDFRONT, "lambda.amazonaws.com"})
"""The eventSources with dated names in records. No name in botocore's models is dated."""

_DATE: Final = re.compile(r"(?<=[A-Za-z])20\d\d(?:_\d\d_\d\d|\d{4}(?:v\d{1,2})?)\Z", re.ASCII)
_DATE_GLOBS: Final = (
    "20[0-9][0-9][0-9][0-9][0-9][0-9]",
    "20[0-9][0-9][0-9][0-9][0-9][0-9]v[0-9]",
    "20[0-9][0-9]_[0-9][0-9]_[0-9][0-9]",
)


def undated(name: str) -> str:
    """Return the API name *name* without the date of its API's version."""
    return _DATE.sub("", name)


def with_dated(globs: Iterable[str]) -> tuple[str, ...]:
    """
    Add to *globs* of API names the ones that match their dated spellings.

    Only a glob that ends in a letter can lack a date: one that ends in ``*`` matches it anyway.
    """
    return tuple(
        spelled
        for glob in globs
        for spelled in (glob, *(glob + date for date in _DATE_GLOBS if _may_lack_date(glob)))
    )


def spellings(source: str, name: str, date: str) -> tuple[str, ...]:
    """
    Return the names by which CloudTrail may record the API *name* of the eventSource *source*.

    *date* is the one in the path of its requests, as ``2015-03-31``, or empty. Lambda adds ``v2``
    to some dates and not to others; only a record shows it.
    """
    if source not in DATED or not date:
        return (name,)
    if source == CLOUDFRONT:
        return name, name + date.replace("-", "_")
    dated = name + date.replace("-", "")
    return name, dated, f"{dated}v2"


def _may_lack_date(glob: str) -> bool:
    return glob[-1:].isalpha() and glob.isprintable() and undated(glob) == glob
