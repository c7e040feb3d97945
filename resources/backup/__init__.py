"""Backups of what a cluster's machines share: databases, and what lies in object stores."""
