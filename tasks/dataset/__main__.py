"""`python -m tasks.dataset`."""

from tasks.core import stage
from tasks.dataset.hop import main

stage.main(main)
