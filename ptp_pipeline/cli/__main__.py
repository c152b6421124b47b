"""`python -m ptp_pipeline.cli`: what the launcher runs."""

from ptp_pipeline.cli.app import main

if __name__ == "__main__":
    main()
