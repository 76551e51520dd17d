"""HomePlug GreenPHY management messages: typed objects to and from Ethernet frames."""
