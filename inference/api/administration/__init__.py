"""/v1/admin: keys, teams, users, limits and the audit log, for programs."""
