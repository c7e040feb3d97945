"""The process beside the endpoint that has Feast: it takes pushed events and answers questions for features."""
