"""`python -m tasks.ingest`."""

from tasks.core import stage
from tasks.ingest.ingest import main

stage.main(main)
