"""Past one machine: what one web process carries, and fleets."""
