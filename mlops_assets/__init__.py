"""Features, training sets, models, evaluations, deployments and drift reports as Dagster assets."""
