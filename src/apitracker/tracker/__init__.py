"""The deployed tracker: everything that runs in the Lambda function."""
