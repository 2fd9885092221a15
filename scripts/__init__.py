"""The project's commands: one verb per file, run as `python -m scripts.<verb>`."""
