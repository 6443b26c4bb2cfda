"""`python -m tasks.cluster`."""

from tasks.cluster.cluster import main
from tasks.core import stage

stage.main(main)
