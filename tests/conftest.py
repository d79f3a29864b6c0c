"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a busy machine is no failure. Derandomised: a run can be repeated.
settings.register_profile("modelsync", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("modelsync")
