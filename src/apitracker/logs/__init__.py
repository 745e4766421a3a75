"""Sources of logs, and the processes that read them."""
