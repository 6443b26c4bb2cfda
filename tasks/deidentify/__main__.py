"""`python -m tasks.deidentify`."""

from tasks.core import stage
from tasks.deidentify.deidentify import main

stage.main(main)
