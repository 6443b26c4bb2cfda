"""`python -m tasks.evaluate`."""

from tasks.core import stage
from tasks.evaluate.evaluate import main

stage.main(main)
