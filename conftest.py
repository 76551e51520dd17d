"""What holds for the tests of all packages."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let tests that start nodes run one after the other, however many workers there are.

    Nodes keep deadlines of a quarter of a second; two graphs on two processors can miss them. Such
    a test has a ROS domain of its own, by which it is known here.
    """
    for item in items:
        if 'domain_id' in vars(item.module) or 'power_graph' in vars(item.module):
            item.add_marker(pytest.mark.xdist_group('station'))
