"""`python -m tasks.evaluate`."""

from tasks.core import stage
from tasks.evaluate.hop import main

stage.main(main)
