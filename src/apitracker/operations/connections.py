"""Connections of the tracker's own kind, with boto3's credentials, region and endpoints."""

from apitracker import aws
from apitracker.tracker.signing import Connection, Credentials, Service


def connect(service: Service) -> Connection:
    """
    Return a connection to *service* at boto3's endpoint, with boto3's credentials.

    `ServiceError` if there are none.
    """
    meta = aws.client(service.id.lower()).meta
    found = aws.find_credentials()

    def credentials() -> Credentials:
        with aws.translate_errors(service.id.lower()):
            now = found.get_frozen_credentials()  # which refreshes those that expire
            return Credentials(now.access_key, now.secret_key, now.token or "")

    return Connection(service, meta.region_name, meta.endpoint_url, credentials=credentials)
