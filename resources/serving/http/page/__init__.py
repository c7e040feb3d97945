"""The endpoint's first page: what answers, what it had to do, and a form for each model that sends a real request."""
