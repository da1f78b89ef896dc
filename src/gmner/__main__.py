"""`python -m gmner`; the same as the command `gmner`, and what the workflow's jobs are."""

import sys

from gmner.workflow.killed_runs import as_job

if __name__ == "__main__":
    with as_job() as wanted:
        from gmner.cli import main

        sys.exit(main() if wanted else "the run that started this job is gone; nothing was done")
