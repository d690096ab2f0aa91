"""The command line: one verb a file in ``verbs/``, and what verbs share."""
