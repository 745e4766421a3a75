"""Operations on a deployed tracker, with boto3: find, verify, alarm, redrive."""
