"""Exact nearest faces under any preference, from shards that Faiss scans. The only package that imports faiss.

From below to above: ``space`` (what a distance is), ``reduction`` and ``scan_rows`` (few numbers a row and what they
prove), ``scan_lists``, ``space_writer`` and ``stored_space``, ``shard_writer`` and ``shard`` (files), ``compared``,
``plan``, ``aim_search``, ``joint_search`` and ``shard_search`` (one query on one shard), ``batch_scan``, ``faiss_gpu``
and ``gpu_scan`` (the scans of many at once, also on a GPU), ``index`` (all shards), ``build``, ``manifest`` and
``changes`` (versions).
"""

from raypipe.errors import WrongUsage

try:
    import faiss as _  # noqa: F401 (here, so that whatever needs it ends in one message)
except ModuleNotFoundError as error:
    raise WrongUsage(
        "searching needs faiss, which is not installed: pip install 'raypipe[cpu]', or 'raypipe[gpu]' for a GPU"
    ) from error
