"""The admin API for the verbs: of a running server, or on the database."""
