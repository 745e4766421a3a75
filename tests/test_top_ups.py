"""Records of top-ups, where something other than DynamoDB answers."""

import boto3
import pytest
from tests.runtime import Handler, Server

from apitracker.errors import ServiceError
from apitracker.operations.top_ups import MetricMinute, TopUpRecords, read_top_ups


class _WebPage(Handler):
    def do_POST(self) -> None:  # noqa: N802 - a name of http.server
        """Answer with a web page, and that all is well."""
        self.read()
        self.answer(200, b"<html>Sign in to the network</html>", Content_Type="text/html")


def test_no_answer_is_not_an_answer_without_records() -> None:
    """A web page is an error: taken for no records, calls would be published a second time."""
    with Server(_WebPage).running() as server:
        dynamodb = boto3.session.Session("key", "secret", region_name="us-east-1").client(
            "dynamodb", endpoint_url=f"http://127.0.0.1:{server.server_port}"
        )
        try:
            records = TopUpRecords("table", dynamodb, "API-COUNT")
            with pytest.raises(ServiceError, match="BatchGetItem was answered without Responses"):
                read_top_ups(records, [MetricMinute(0, "A", "eu", "s3")])
        finally:
            dynamodb.close()
