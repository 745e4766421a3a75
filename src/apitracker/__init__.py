"""Counts of AWS API calls from CloudTrail."""
