"""Clients of boto3 that give chosen answers: its Stubber holds them to the service's model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import boto3
from botocore.stub import Stubber

from apitracker.operations.deployment import MakeClient

Answer: TypeAlias = tuple[str, dict[str, Any]]
"""A method of a client, and its answer; one with a ``code`` is an error."""


@contextmanager
def answering(service: str, *answers: Answer) -> Iterator[MakeClient]:
    """Make clients: that of *service* gives these answers in turn, and there is no other."""
    client = boto3.session.Session(
        aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1"
    ).client(service)
    stubber = Stubber(client)
    for method, answer in answers:
        if "code" in answer:
            stubber.add_client_error(method, answer["code"], answer.get("message", "No."))
        else:
            stubber.add_response(method, answer)
    with stubber:
        yield {service: client}.__getitem__
    client.close()


def together(**made: MakeClient) -> MakeClient:
    """Make the client of each service with its own maker; that of Lambda is named *functions*."""
    makers = {"lambda" if name == "functions" else name: maker for name, maker in made.items()}
    return lambda service: makers[service](service)
