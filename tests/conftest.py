"""Property tests try the same 50 examples each run; `make fuzz` tries 500 others.

Graphics cards are hidden: what a student says there depends, in its last bits, on its batch.
"""

import functools
import gc
import os
import re
import ssl
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

MODELS = re.compile(
    r"test_(?:bases|cluster|dataset|evaluate|night|registry_store|students|train"
    r"|serving_(?:engine|reconcile))"
)
os.environ["CUDA_VISIBLE_DEVICES"] = ""
gc.set_threshold(100_000, 50, 50)  # a million objects are imported, and none of them is garbage
# Each HTTP client reads the authorities' certificates: 25 ms, and nothing here speaks TLS.
ssl.create_default_context = functools.cache(ssl.create_default_context)

# a busy machine is no fault of a test
anywhere = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", anywhere, derandomize=True, max_examples=50)
# Hypothesis itself draws nothing at random where `CI` is set
settings.register_profile("fuzz", anywhere, derandomize=False, max_examples=500, print_blob=True)
settings.load_profile("fixed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What trains or asks models goes first: one worker alone imports what that needs, mostly."""
    items.sort(key=lambda item: MODELS.match(item.path.name) is None)


def pytest_collection_finish() -> None:
    """What was imported stays: no collection of garbage looks at it again."""
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The logic suite does not import files of flow or soak tests, and Prefect with them."""
    logic = config.option.markexpr.startswith("not flow") and collection_path.suffix == ".py"
    marks = r"^pytestmark = \[?pytest\.mark\.(?:flow|soak|e2e|vllm)\b"
    return True if logic and re.search(marks, collection_path.read_text(), re.M) else None
