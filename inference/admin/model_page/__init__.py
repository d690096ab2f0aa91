"""Models in the admin, with their workers: state, memory, and what buttons do."""
