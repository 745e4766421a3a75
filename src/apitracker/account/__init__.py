"""In an AWS account."""
