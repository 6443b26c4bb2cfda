"""`python -m tasks.calibrate`."""

from tasks.calibrate.hop import main
from tasks.core import stage

stage.main(main)
