"""What programs that run beside the web processes may set."""
