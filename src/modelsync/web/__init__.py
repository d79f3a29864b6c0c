"""The HTTP interface, in a thread of its own."""
