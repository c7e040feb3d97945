"""The process beside the endpoint that has Feast: it takes pushed events and answers questions for features."""

COMMAND = ("-W", "ignore", "-m", "resources.serving.side")
CALLED = "the process that takes pushes"
