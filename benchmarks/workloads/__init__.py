"""What the systems are asked to do, as data."""
