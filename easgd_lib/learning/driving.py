"""What drives a method: carry out its steps, answer what it asks for, one exchange beside it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from easgd_lib.method.algorithms import Gradient, Request, Step
from easgd_lib.method.center import Begin, End, Pull, Push, exchange


def carry_out(step: Step, answer: Callable[[Request], Any]):
    """Drive one step of a method: answer each thing it asks for."""
    try:
        request = next(step)
        while True:
            request = step.send(answer(request))
    except StopIteration:
        return


class AtOnce:
    """Where nothing can go on beside a worker: what is begun is over at once."""

    result: Any = None

    def begin(self, act: Callable[[], Any]):
        """Act, and keep the result."""
        self.result = act()

    def end(self) -> Any:
        """The result."""
        return self.result


class Beside(AtOnce):
    """One thing that goes on beside the worker, in a thread; its result is kept until asked for."""

    def __init__(self):
        self.thread: ThreadPoolExecutor | None = None
        self.doing: Future | None = None

    def begin(self, act: Callable[[], Any]):
        """Begin to act; what was begun before must have ended."""
        self.thread = self.thread or ThreadPoolExecutor(
            1, initializer=torch.set_num_threads, initargs=(1,)
        )
        self.doing = self.thread.submit(act)

    def end(self) -> Any:
        """Wait for it, and for its result; raises what it raised."""
        if self.doing:
            doing, self.doing = self.doing, None
            self.result = doing.result()
        return self.result

    def close(self):
        """Wait for it, for good."""
        self.end()
        if self.thread:
            self.thread.shutdown()
            self.thread = None


def answering(
    center: Any,
    gradient: Callable[[Any], Any],
    beside: AtOnce | None = None,
    root: Any = None,
) -> Callable[[Request], Any]:
    """What answers a method: pulls and pushes go to `center`, points to `gradient`.

    An exchange that is to go on beside the worker goes to `beside`; without one it is over at once.
    It is with `root`, the root of a tree, if there is one, else with the same center.
    """
    beside, root = beside or AtOnce(), root or center

    def answer(request: Request) -> Any:
        match request:
            case Pull():
                return center.pull()
            case Push(change):
                return center.push(change)
            case Begin(change):
                return beside.begin(partial(exchange, root, change))
            case End():
                return beside.end()
            case Gradient(at):
                return gradient(at)

    return answer
