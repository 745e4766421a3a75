"""The command line: parse, call, print. Data goes to stdout, words and progress to stderr."""
