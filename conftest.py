"""For every test and every checked notebook: nothing live on the page, one thread per process."""

import os

# Kernels, engines and ranks inherit these.
os.environ |= {"IPP_NONINTERACTIVE": "1", "OMP_NUM_THREADS": "1"}
