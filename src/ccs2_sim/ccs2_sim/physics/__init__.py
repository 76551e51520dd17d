"""The physical world of one connector, without clocks or sockets: time goes in as fixed steps.

Units are SI. Currents are positive from the station into the vehicle.
"""

from ccs2_sim.physics.battery import Battery, BatteryRating
from ccs2_sim.physics.contactor import Contactor
from ccs2_sim.physics.isolation import IsolationMonitor
from ccs2_sim.physics.node import NodeStep, solve_node
from ccs2_sim.physics.pilot import PilotCircuit, PilotLevels, VehicleLoad
from ccs2_sim.physics.supply import Supply, SupplyRating
from ccs2_sim.physics.world import STEP, World, WorldRating

__all__ = [
    'STEP', 'Battery', 'BatteryRating', 'Contactor', 'IsolationMonitor', 'NodeStep',
    'PilotCircuit', 'PilotLevels', 'Supply', 'SupplyRating', 'VehicleLoad', 'World', 'WorldRating',
    'solve_node',
]
