"""How a child process is started, and one that waits to take its place."""
