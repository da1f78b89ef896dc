from collections.abc import Iterator

import pytest

from tests.helpers.survival.project import TWEETS, Servers, serve


@pytest.fixture
def servers() -> Iterator[Servers]:
    found = serve(TWEETS)
    yield found
    found.close()
