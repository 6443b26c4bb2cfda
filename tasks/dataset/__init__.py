"""Train, validation, calibration and test sets of each task."""
