"""`python -m tasks.validate`."""

from tasks.core import stage
from tasks.validate.hop import main

stage.main(main)
