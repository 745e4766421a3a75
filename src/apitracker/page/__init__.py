"""The local web page and the report."""
