"""Decisions. Nothing here reads a clock, the environment, a file or a socket, or logs."""
