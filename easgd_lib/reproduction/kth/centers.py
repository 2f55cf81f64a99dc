"""The KTH program's centers, as rows; what they name, in `exchange.py`, needs MPI."""

from easgd_lib.method.center import CenterKind


def _kind(name: str, **more) -> CenterKind:
    exchange = f"easgd_lib.reproduction.kth.exchange:{name}"
    return CenterKind(f"{exchange}.connect", f"{exchange}.serve", **more)


LAYERS = _kind("LAYERS")
ELEMENTS = _kind("ELEMENTS")
COMPUTING_ROOT = _kind("COMPUTING_ROOT")
SCHEME = _kind("LAYERS", orders=("round_robin",))
PROGRAM = _kind("PROGRAM", orders=("round_robin",))
