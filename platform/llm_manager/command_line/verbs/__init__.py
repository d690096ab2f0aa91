"""The verbs. A module's name is its verb, and its ``command`` a click command."""
