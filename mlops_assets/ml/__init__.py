"""Pure functions on frames and arrays: fit, evaluate, compare, decide. No Dagster, no servers, no wall clock."""
