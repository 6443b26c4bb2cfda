"""`python -m tasks.train` (DVC), or with a job: one process of a training that has several."""

import sys

import msgspec

from tasks.core import stage
from tasks.train.launch import TrainingJob
from tasks.train.train import main, part

if len(sys.argv) > 1:
    part(msgspec.json.decode(sys.argv[1], type=TrainingJob))
else:
    stage.main(main)
