"""What can go wrong for a user: one line that names the cure, exit status 2."""


class EasgdError(Exception):
    """Base of every error whose message is written for the user, not for us."""


class SettingsError(EasgdError, ValueError):
    """Settings that contradict each other or leave the region where the method is stable."""


class DataError(EasgdError):
    """A data set that is missing, truncated or corrupt."""


class NotFinite(EasgdError, ArithmeticError):
    """A loss became infinite or not a number."""


class MPIError(EasgdError, RuntimeError):
    """The MPI world is not what the run needs, or somebody in it fell silent."""


class PeerFailed(MPIError):
    """Another rank failed first; its own error says why."""


DEAD = "an engine died (killed, or out of memory): the run is lost, start it again"
