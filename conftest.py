"""What holds for the tests of all packages."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let tests that start nodes run in two rows, however many workers there are.

    Nodes keep deadlines of parts of a second, which many graphs on few processors would miss. Such
    a test has a ROS domain of its own, by which it is known here. A launch_testing test is an item
    without a module, and a graph, too. Whole sessions are a group of their own, `sessions`; the
    rest, with nodes that are killed and stopped, is `station`: each takes about as long.
    """
    for item in items:
        names = set(vars(item.module)) if hasattr(item, 'module') else {'domain_id'}
        graph = names & {'domain_id', 'power_graph', 'powerline_graph'}
        if graph and item.get_closest_marker('xdist_group') is None:
            item.add_marker(pytest.mark.xdist_group('station'))
