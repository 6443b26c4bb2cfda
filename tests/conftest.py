"""Property tests try the same examples each run; `--hypothesis-profile=default` tries others.

Graphics cards are hidden: what a student says there depends, in its last bits, on its batch.
"""

import gc
import os

from hypothesis import HealthCheck, settings

os.environ["CUDA_VISIBLE_DEVICES"] = ""
gc.set_threshold(100_000, 50, 50)  # a million objects are imported, and none of them is garbage

# a busy machine is no fault of a test
settings.register_profile(
    "fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")
