"""Property tests try the same examples each run; `--hypothesis-profile=default` tries others."""

from hypothesis import settings

settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")
