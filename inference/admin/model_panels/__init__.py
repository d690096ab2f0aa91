"""Parts of a model's page, each with what its template shows."""
