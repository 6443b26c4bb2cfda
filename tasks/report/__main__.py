"""`python -m tasks.report`."""

from tasks.report.report import main

main()
