"""A Feast offline store that answers point-in-time questions with polars and numpy, from parquet or Arrow IPC files.

Copy this folder into a Feast repository and name the class in feature_store.yaml:

    offline_store:
      type: <package>.offline_store.store.PolarsOfflineStore

**Which row an entity row gets.** For every feature view, among the source's rows with the same join keys:

- the newest by event timestamp that is at or before the entity row's timestamp;
- if the view has a time to live, only while `event timestamp >= entity timestamp - ttl`: both ends belong to it, as
  in the SQL that Feast's own stores send. No ttl, or 0, is for ever;
- of several with that event timestamp, the one with the greatest created timestamp (null is the smallest); of
  several still, the last one in the source: files in order of their path, rows in order of the file;
- with `filter_by_created_timestamp`, only rows whose created timestamp is there and at or before the entity timestamp.

A null key never matches, not even a null. A row without an event timestamp is never chosen. An entity row without
a timestamp gets nulls. Timestamps without a zone are UTC; units and zones may differ between files and sides.

**What comes back.** Every entity row, duplicates too, in the order given, with all of its columns, then the
features of the views in the order asked for, as the source has them, then on-demand features. Without entity rows
(`start_date`, `end_date`) the question is put, as of `end_date`, for every key that has a row from start to end.
"""
