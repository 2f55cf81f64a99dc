"""Local steps by any torch optimizer, AdamW for example, between the exchanges of a method."""

from easgd_lib.errors import SettingsError
from easgd_lib.method.family import LocalSGD
from easgd_lib.method.sequential import SGD, Gradient, Lookahead, Step


def with_inner(method: type[SGD]) -> type[SGD]:
    """This method, whose local step is somebody else's: asked for a gradient, he answers with x.

    Raises
    ------
    SettingsError
        The method's local step is its own.
    """
    if not issubclass(method, LocalSGD | Lookahead):
        raise SettingsError(
            f"{method.__name__} has no inner optimizer: its step and its exchange are one",
            "use LocalSGD, SlowMo, DiLoCo, AsyncDiLoCo or Lookahead, or leave inner out",
        )

    def local_step(self) -> Step:
        self.x = yield Gradient(self.x)
        self.t += 1

    return type(method.__name__, (method,), {"local_step": local_step})
