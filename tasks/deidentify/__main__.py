"""`python -m tasks.deidentify`."""

from tasks.core import stage
from tasks.deidentify.hop import main

stage.main(main)
