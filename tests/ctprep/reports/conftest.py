"""What tests of report backends share."""

import pytest


@pytest.fixture
def server_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for servers in the environment."""
    # Late: it needs what only a backend that asks a server needs.
    from tests.ctprep.reports.asking import KEY

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
