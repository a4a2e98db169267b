"""A local Hub per test file, and the folder that its clients take for their home."""

import pytest

from .server import HubServer


@pytest.fixture(scope="module")
def hub():
    server = HubServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("hub_home")
