"""The lake: parquet tables cut into partitions, with content hashes."""
