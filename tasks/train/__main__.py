"""`python -m tasks.train` (DVC), or with a job: one process of a training that has several."""

import sys

import msgspec

from tasks.core import stage
from tasks.train.hop import main, part
from tasks.train.launch import TrainingJob

if len(sys.argv) > 1:
    part(msgspec.json.decode(sys.argv[1], type=TrainingJob))
else:
    stage.main(main)
