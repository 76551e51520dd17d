"""Data link cores: SLAC for station and car, and the direct link, all on a virtual clock."""
