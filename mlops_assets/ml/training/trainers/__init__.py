"""One file a kind of trainer, each with its description, `TRAINER`; pyproject.toml names them as entry points."""
