"""Property tests try the same examples each run; `--hypothesis-profile=default` tries others.

Graphics cards are hidden: what a student says there depends, in its last bits, on its batch.
"""

import gc
import os

from hypothesis import settings

os.environ["CUDA_VISIBLE_DEVICES"] = ""
gc.set_threshold(100_000, 50, 50)  # a million objects are imported, and none of them is garbage

settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")
