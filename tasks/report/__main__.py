"""`python -m tasks.report`."""

from tasks.report.hop import main

main()
