"""Where the material beside the repository lies, and the fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


def shared_path(relative: str) -> Path:
    """Return a path below ../shared, or skip the test with the reason."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{relative} is not there: ../shared lies beside the authors' checkouts only")
    return path


@pytest.fixture(scope="session")
def shared():
    """Give tests `shared("fixtures/...")`, which skips where ../shared is absent."""
    return shared_path
