from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster


@pytest.fixture(scope="module")
def four_cpus() -> Iterator[None]:
    """This process is connected to a cluster of one node with so many, which soon sees that a worker was lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "object_store_memory": 200 * 2**20})
        ray.init(address=cluster.address, log_to_driver=False)
        yield
        ray.shutdown()
        cluster.shutdown()
