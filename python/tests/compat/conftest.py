"""sluice.compat, connected to the server of the run."""

import pytest


@pytest.fixture
def tq(sluice_url):
    import sluice.compat

    sluice.compat.init({"url": sluice_url, "timeout_s": 20, "allow_pickle": True})
    yield sluice.compat
    sluice.compat.close()


@pytest.fixture
def strict(tq):
    """The package itself, over the same connection."""
    import sluice

    return sluice
