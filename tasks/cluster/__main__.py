"""`python -m tasks.cluster`."""

from tasks.cluster.hop import main
from tasks.core import stage

stage.main(main)
