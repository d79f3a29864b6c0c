"""Steps side by side in a pool's threads: the first that fails ends all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

_TEND_SECONDS = 1.0

Step = Callable[[], None]
"""A piece of work, to be done in any thread."""


def run_steps(
    threads: Executor,
    steps: Iterator[Step],
    *,
    most: int,
    tend: Callable[[], None],
    give_up: Callable[[], None],
) -> None:
    """Do all steps; when this returns or raises, none is running.

    Args:
        threads: where they run.
        steps: taken one by one, as threads come free.
        most: steps at once.
        tend: called every second or so; what it raises ends the work.
        give_up: called once when the work fails, to make running steps end soon.

    Raises:
        Exception: what a step, `tend` or `steps` raised first.
    """
    running: set[Future[None]] = set()
    try:
        more = True
        while more or running:
            tend()
            while more and len(running) < most:
                step = next(steps, None)
                more = step is not None
                if step is not None:
                    running.add(threads.submit(step))
            finished, running = wait(running, timeout=_TEND_SECONDS, return_when=FIRST_COMPLETED)
            for task in finished:
                task.result()
    except BaseException:
        give_up()
        for task in running:
            task.cancel()
        wait(running)
        raise
