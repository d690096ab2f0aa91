"""`python -m llm_manager` is `llm-manager`."""

from llm_manager.cli import main

main()
