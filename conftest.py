"""What holds for the tests of all packages."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let tests that start nodes run one after the other, however many workers there are.

    Nodes keep deadlines of a quarter of a second; two graphs on two processors can miss them. Such
    a test has a ROS domain of its own, by which it is known here. A launch_testing test is an item
    without a module, and a graph, too.
    """
    for item in items:
        names = set(vars(item.module)) if hasattr(item, 'module') else {'domain_id'}
        if names & {'domain_id', 'power_graph', 'powerline_graph'}:
            item.add_marker(pytest.mark.xdist_group('station'))
