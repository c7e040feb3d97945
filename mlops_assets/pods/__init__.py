"""How Dagster runs work in pods of Kubernetes: the launcher of runs, and the executor of steps."""
