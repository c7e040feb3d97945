"""Side by side with peers, in one run, with a table as output."""
