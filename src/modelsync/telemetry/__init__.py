"""Facts as metrics and log lines."""
