"""From answers to figures and tables."""
