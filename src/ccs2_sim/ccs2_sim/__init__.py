"""Everything outside the station, simulated: the car, the physical world, the hardware."""
