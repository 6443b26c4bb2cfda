"""`python -m tasks.ingest`."""

from tasks.core import stage
from tasks.ingest.hop import main

stage.main(main)
