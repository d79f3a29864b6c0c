"""The composition: real parts put together, started, and ended in order."""
