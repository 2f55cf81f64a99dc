"""What can go wrong for a user: one line that says what is wrong and how to fix it, status 2."""


class EasgdError(Exception):
    """Base of every error whose message is written for the user, not for us.

    Attributes
    ----------
    what : str
        What is wrong.
    fix : str
        What to do about it; empty where that is plain.

    >>> print(EasgdError("no MNIST was found", "`make data` downloads it"))
    no MNIST was found: `make data` downloads it
    """

    def __init__(self, what: str, fix: str = ""):
        super().__init__(what, fix)
        self.what, self.fix = what, fix

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}" if self.fix else self.what


class SettingsError(EasgdError, ValueError):
    """Settings that contradict each other or leave the region where the method is stable.

    >>> isinstance(SettingsError("η is negative"), ValueError)
    True
    """


class DataError(EasgdError):
    """A data set that is missing, truncated or corrupt."""


class NotFinite(EasgdError, ArithmeticError):
    """A loss became infinite or not a number."""


class MPIError(EasgdError, RuntimeError):
    """The MPI world is not what the run needs, or a rank in it fell silent."""


class PeerFailed(MPIError):
    """Another rank failed first; its own error says why."""


DEAD = "an engine died (killed, or out of memory): resume from a checkpoint, or start the run again"
