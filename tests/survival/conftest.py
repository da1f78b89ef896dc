from collections.abc import Iterator

import pytest
from project import Servers, serve

TWEETS = 16


@pytest.fixture
def servers() -> Iterator[Servers]:
    found = serve(TWEETS)
    yield found
    found.close()
