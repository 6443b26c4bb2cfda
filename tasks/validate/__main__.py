"""`python -m tasks.validate`."""

from tasks.core import stage
from tasks.validate.validate import main

stage.main(main)
