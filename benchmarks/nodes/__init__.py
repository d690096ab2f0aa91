"""Several web processes and engine nodes as one system, and what faults cost there."""
