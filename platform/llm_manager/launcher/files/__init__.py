"""What a running server writes into its data directory for the command line."""
