"""What an asset is built with: reuse, tables, checks, metadata, costs, partitions."""
