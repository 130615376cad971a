"""Exact nearest faces under any preference, from shards that Faiss scans. The only package that imports faiss.

From below to above: ``space`` (what a distance is), ``reduction`` and ``scan_rows`` (few numbers a row and what they
prove), ``shard_writer`` and ``shard`` (files), ``plan`` and ``shard_search`` (one query on one shard), ``index``
(all shards), ``manifest`` and ``changes`` (versions).
"""
