"""All books of the examples in one run of the SQL."""

from contextlib import suppress
from pathlib import Path

import pytest

from .batch import BATCH


@pytest.fixture(scope="session", autouse=True)
def one_run_for_all_examples(request: pytest.FixtureRequest) -> None:
    """Play the examples once without asking whether they are right, to learn the books they will want an answer about."""
    BATCH.is_collecting = True
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.path.parent == Path(__file__).parent and item.path.stem.endswith("_examples"):
            with suppress(Exception):  # it will fail again, by its own name
                item.obj(**(item.callspec.params if hasattr(item, "callspec") else {}))
    BATCH.is_collecting = False
