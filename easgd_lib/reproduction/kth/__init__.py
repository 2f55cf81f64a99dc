"""What the KTH program did otherwise, each part to be tried alone: the factors of an ablation.

The program is that of Vicente and Lindé's report (KTH, 2024). None of this is for use: it is
here to be measured. Each factor is a center or an objective of its own, handed to `Settings`
by name as a user's own would be:

>>> from easgd_lib import Settings
>>> from easgd_lib.reproduction import kth
>>> Settings("easgd", workers=2, center=kth.SCHEME).order
'round_robin'
"""

_CENTERS = "easgd_lib.reproduction.kth.centers"
_OBJECTIVES = "easgd_lib.reproduction.kth.objectives"

LAYERS = f"{_CENTERS}:LAYERS"  # one message per layer, not one in all
ELEMENTS = f"{_CENTERS}:ELEMENTS"  # every float copied into the message by itself
COMPUTING_ROOT = f"{_CENTERS}:COMPUTING_ROOT"  # the server runs forward passes between exchanges
SCHEME = f"{_CENTERS}:SCHEME"  # the report's: layer by layer, workers in turn
PROGRAM = f"{_CENTERS}:PROGRAM"  # all of it

OWN_START = f"{_OBJECTIVES}:OwnStart"  # every process draws its own initial weights
SAME_BATCHES = f"{_OBJECTIVES}:SameBatches"  # all workers draw the same batches
OWN_START_SAME_BATCHES = f"{_OBJECTIVES}:OwnStartSameBatches"
