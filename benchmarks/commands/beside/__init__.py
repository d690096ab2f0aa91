"""Commands that measure requests beside others, one a file."""
