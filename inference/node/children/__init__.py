"""How worker processes are started, and one that waits for its model."""
