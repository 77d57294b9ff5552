"""Where many independent runs are done: here, in worker processes, or on a cluster of machines.

>>> from carna.heart.executor import spread
>>> spread(pow, [(2, 3), (3, 2)], None)
(8, 9)

Anything that is a `concurrent.futures.Executor` will do. `executor` opens the two usual ones by a word:
``executor(4)`` is four processes of this machine, ``executor("tcp://host:8786")`` a dask scheduler, which
finds carna installed on its workers. A script that opens processes guards its start with
``if __name__ == "__main__":``, since each process imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from typing import Any, TypeVar

from carna.errors import InputError
from carna.progress import SILENT, Progress

__all__ = ["executor", "spread"]

T = TypeVar("T")
LOOK_S = 0.5


@contextmanager
def executor(where: int | str) -> Iterator[Executor]:
    """Open worker processes by their number, or a dask scheduler by its address.

    Parameters
    ----------
    where : int or str
        At least 1 process, each with one thread's worth of work; or an address such as ``tcp://host:8786``.

    Yields
    ------
    concurrent.futures.Executor
        Closed afterwards; what was not begun is dropped.

    Raises
    ------
    InputError
        Less than one process, dask.distributed not installed, or no scheduler at the address.
    """
    if isinstance(where, int):
        if where < 1:
            raise InputError(f"{where} processes", needed="at least 1")
        pool = ProcessPoolExecutor(where, mp_context=get_context("spawn"))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    try:
        connect = import_module("distributed").Client
    except ImportError as error:
        raise InputError(
            f"the scheduler {where}, but no dask.distributed",
            needed="the package 'distributed' here and on the workers",
            fix="pip install distributed, or give a number of processes",
        ) from error
    try:
        client = connect(where, timeout="10s")
    except (OSError, ValueError) as error:  # a refused or unknown address; a time-out is an OSError
        raise InputError(
            f"no answer from {where}",
            needed="a running dask scheduler",
            fix="start `dask scheduler` and workers there, or give a number of processes",
        ) from error
    with client:
        yield client.get_executor()


def spread(
    function: Callable[..., T],
    tasks: Sequence[tuple[Any, ...]],
    on: Executor | None,
    progress: Progress = SILENT,
    what: str = "runs",
) -> tuple[T, ...]:
    """Return ``function(*task)`` of every task, in the order of the tasks, whoever did them.

    Parameters
    ----------
    function : callable
        Of a module, so that it can be sent to another process.
    tasks : sequence of tuple
        Its arguments.
    on : Executor, optional
        None: here, one after the other.
    progress : Progress
        Told of every task that is done; a cancellation leaves those not begun undone.
    what : str
        What to call the tasks in it.

    Raises
    ------
    InputError
        A worker died; also whatever ``function`` raises.
    """
    if on is None:
        return tuple(function(*task) for task in progress.over(tasks, len(tasks), what))
    futures: list[Future[T]] = [on.submit(function, *task) for task in tasks]
    waiting = set(futures)
    try:
        while waiting:
            done, waiting = wait(waiting, timeout=LOOK_S, return_when=FIRST_COMPLETED)
            for one in done:
                one.result()
            finished = len(futures) - len(waiting)
            progress(finished / len(futures), f"{finished} of {len(futures)} {what}")
        return tuple(one.result() for one in futures)
    except BrokenExecutor as error:
        raise InputError(
            "a worker process was ended from outside, perhaps for want of memory",
            needed="its result",
            fix="use fewer processes, or a coarser grid",
        ) from error
    finally:
        for one in futures:
            one.cancel()
