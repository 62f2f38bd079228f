"""The playground also queries endpoints, so it uses their fixtures."""

from tests.training.endpoints.conftest import endpoint as endpoint
from tests.training.endpoints.conftest import stub as stub
