"""The audit log: who did what, when, why and from which evidence."""
