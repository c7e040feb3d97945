"""Answers without frames: what can be known of a model before it is asked is worked out when it is loaded."""
