"""Pages for people: the card, small pictures, distributions."""
