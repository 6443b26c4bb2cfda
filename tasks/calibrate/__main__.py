"""`python -m tasks.calibrate`."""

from tasks.calibrate.calibrate import main
from tasks.core import stage

stage.main(main)
