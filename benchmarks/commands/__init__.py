"""The harness's commands, one a file."""
