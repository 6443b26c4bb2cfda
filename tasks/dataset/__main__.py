"""`python -m tasks.dataset`."""

from tasks.core import stage
from tasks.dataset.dataset import main

stage.main(main)
