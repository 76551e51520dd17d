"""The nodes `power` and `safety`, the simulated plant and a fake hlc, each a process of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor

from ccs2_interfaces.msg import ControlPilot, PowerStatus, SafetyStatus
from ccs2_node import STATE, TELEMETRY

#: As the launch files have it: loopback only, and what is left of a killed process soon forgotten.
DISCOVERY = {
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SYSTEM_DEFAULT',
    'FASTRTPS_DEFAULT_PROFILES_FILE': str(
        Path(__file__).parents[3] / 'launch' / 'config' / 'dds_loopback.xml'),
}
# As launch/config/simulation: a machine that runs tests pauses a process now and then.
PATIENT = {
    'power': {'safety_timeout': 0.5, 'supply_timeout': 0.5, 'voltmeter_timeout': 0.5,
              'stall_time': 0.6},
    'safety': {'power_timeout': 0.5, 'pilot_timeout': 0.5, 'contact_timeout': 0.5,
               'voltmeter_timeout': 0.5, 'stall_time': 0.6}}
PARAMETERS = {
    'power': {
        'rated_voltage': 920.0, 'maximum_current': 200.0, 'maximum_power': 60000.0,
        'supply_driver': 'sim_supply', 'isolation_driver': 'sim_isolation',
        'voltmeter_driver': 'sim_second_voltmeter', 'meter_driver': 'sim_meter',
    },
    'safety': {
        'rated_voltage': 920.0, 'pilot_driver': 'sim_pilot', 'contactors_driver': 'sim_contactors',
        'emergency_stop_driver': 'sim_emergency_stop', 'voltmeter_driver': 'sim_voltmeter',
        'lock_driver': 'sim_lock',
    },
}


LEADS_TO = {Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
            Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE}


class Process:
    """A process whose output is kept; it ends with the test."""

    def __init__(self, arguments, environment, **kwargs):
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, **kwargs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(10)


class Vehicle:
    """The vehicle's side of the plant's socket."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._send({'device': 'vehicle'})
        self._wish = {'plugged': False, 'load': 'B', 'contactors': False, 'state_of_charge': 0.5}
        threading.Thread(target=self._drain, daemon=True).start()

    def _send(self, content):
        from ccs2_sim.plant.wire import encode
        self._socket.sendall(encode(content))

    def _drain(self):
        with contextlib.suppress(OSError):
            while self._socket.recv(65536):
                pass

    def set(self, **wish):
        self._wish |= wish
        self._send(self._wish)

    def close(self):
        self._socket.close()


class Graph:
    """Starts everything and watches the topics."""

    def __init__(self, domain, folder, parameters=None):
        os.environ.update(DISCOVERY)
        self.environment = dict(
            os.environ, ROS_DOMAIN_ID=str(domain), ROS_PYTHON_CHECK_FIELDS='1',
            CCS2_PLANT_SOCKET=str(folder / 'plant.sock'))
        self.folder = folder
        self.record = folder / 'record.json'
        self.parameters = parameters or {
            'safety': PARAMETERS['safety'] | {'state_file': self.record},
            'power': PARAMETERS['power'] | {'state_file': folder / 'power.json'}}
        self.processes = {}
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('watcher', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.power = self.safety = self.pilot = None
        self.heard = {'power': 0.0, 'safety': 0.0}
        self.node.create_subscription(PowerStatus, '/power/status', self._on_power, TELEMETRY)
        self.node.create_subscription(SafetyStatus, '/safety/status', self._on_safety, TELEMETRY)
        self.node.create_subscription(ControlPilot, '/control_pilot', self._on_pilot, STATE)
        self.vehicle = None

    def _on_power(self, message):
        self.power, self.heard['power'] = message, time.monotonic()

    def _on_safety(self, message):
        self.safety, self.heard['safety'] = message, time.monotonic()

    def _on_pilot(self, message):
        self.pilot = message

    def start_plant(self):
        self.processes['plant'] = Process(
            ['-c', 'from ccs2_sim.plant_node import main; main()'], self.environment)
        path = self.folder / 'plant.sock'
        self.wait(path.exists)
        self.vehicle = Vehicle(path)
        self.vehicle.set()

    def start_node(self, name):
        arguments = [part for key, value in (PATIENT[name] | self.parameters[name]).items()
                     for part in ('-p', f'{key}:={value}')]
        self.processes[name] = Process(
            ['-m', f'ccs2_power.{name}_node', '--ros-args', *arguments], self.environment)
        assert self.transition(name, Transition.TRANSITION_CONFIGURE)
        assert self.transition(name, Transition.TRANSITION_ACTIVATE)

    def start_hlc(self):
        program = Path(__file__).with_name('fake_hlc.py')
        self.processes['hlc'] = Process([str(program)], self.environment, stdin=subprocess.PIPE)

    def start(self):
        self.start_plant()
        self.start_node('safety')
        self.start_node('power')
        self.start_hlc()
        self.command()
        self.wait(self.everybody_hears_hlc)
        return self

    def everybody_hears_hlc(self):
        """Whoever first hears a publisher want energy gives none."""
        return all(
            message is not None and self.heard_now(name) and message.command_publisher
            and message.command_publisher == self.safety.command_publisher
            and self.safety.lease_remaining > 0.0
            for name, message in (('safety', self.safety), ('power', self.power)))

    def heard_now(self, name):
        return time.monotonic() - self.heard[name] < 0.2

    def command(self, **changes):
        """Tell the fake hlc what to command from now on."""
        stdin = self.processes['hlc'].process.stdin
        stdin.write(json.dumps(changes) + '\n')
        stdin.flush()

    def wait(self, condition, seconds=20.0):
        """Serve the topics until the condition holds; return how long that took."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < seconds, self.story()
            self.executor.spin_once(timeout_sec=0.02)
        return time.monotonic() - start

    def serve(self, seconds):
        """Serve the topics for a time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def story(self):
        return '\n'.join([
            *(f'{name}: {line}' for name, process in self.processes.items()
              for line in process.lines[-30:]),
            *(f'{fault.code} of {fault.source!r}: {fault.message}'
              for status in (self.power, self.safety) if status for fault in status.faults)])

    def call(self, kind, name, request):
        """Call a service; what a killed process has left behind does not answer, so try again."""
        client = self.node.create_client(kind, name)
        answers = []

        def ask():
            if not client.service_is_ready():
                return False
            future = client.call_async(request)
            end = time.monotonic() + 2.0
            while not future.done() and time.monotonic() < end:
                self.executor.spin_once(timeout_sec=0.02)
            if future.done():
                answers.append(future.result())
            return future.done()

        self.wait(ask)
        self.node.destroy_client(client)
        return answers[0]

    def transition(self, node, number):
        """Take a node to another state; one that was asked twice is there already."""
        request = ChangeState.Request(transition=Transition(id=number))
        if self.call(ChangeState, f'/{node}/change_state', request).success:
            return True
        state = self.call(GetState, f'/{node}/get_state', GetState.Request()).current_state
        return state.id == LEADS_TO[number]

    def plant(self):
        """The true state of the world."""
        from ccs2_sim.plant_fault import control
        return control(str(self.folder / 'plant.sock'), {})['state']

    def disturb(self, fault, argument=''):
        from ccs2_sim.plant_fault import control
        control(str(self.folder / 'plant.sock'), {'put': fault, 'argument': argument})

    @property
    def safe(self):
        """No contact closed, no current: the truth of the plant."""
        state = self.plant()
        contacts = state['contactors']
        return (not any(contacts.values()) and abs(state['meter']['current']) < 1.0
                and not state['supply']['on'])

    def codes(self):
        return {fault.code for status in (self.power, self.safety) for fault in status.faults}

    # A session.

    def plug_in(self):
        self.vehicle.set(plugged=True, load='B')
        self.wait(lambda: self.pilot and self.pilot.state == ControlPilot.STATE_B)
        self.wait(lambda: abs(self.pilot.duty_cycle - 0.05) < 0.001)

    def charge(self):
        """Let the vehicle that is plugged in charge.

        A machine that is busy with other things may cost an attempt: the nodes are strict.
        """
        for _ in range(3):
            if self._energises():
                return
            self.command(mode=0, session_id='', lock_connector=False)
            self.unplug()
            self.wait(lambda: not self.codes())
            self.plug_in()
        raise AssertionError(self.story())

    def _energises(self):
        """Go through a session up to the charge; False as soon as there is a fault."""
        self.command(session_id='01', lock_connector=True, maximum_voltage=450.0,
                     maximum_current=120.0)
        self.vehicle.set(load='C')
        battery = self.plant()['vehicle']['battery_voltage']
        return (
            self._comes(lambda: self.pilot.state == ControlPilot.STATE_C)
            and self._comes(
                lambda: self.power.cable_check == PowerStatus.CABLE_CHECK_VALID, mode=1)
            and self._comes(lambda: abs(self.power.voltage - battery) < 10.0,
                            mode=2, target_voltage=battery)
            and self._joins()
            and self._comes(lambda: self.power.current > 45.0,
                            mode=3, target_voltage=440.0, target_current=50.0))

    def _joins(self):
        self.vehicle.set(contactors=True)
        return self._comes(lambda: self.plant()['vehicle']['contactors'])

    def _comes(self, condition, **command):
        """Command something and wait for what follows; False if that is a fault."""
        if command:
            self.command(**command)
        self.wait(lambda: condition() or self.codes(), 30.0)
        return not self.codes()

    def stop(self):
        self.command(mode=4)
        self.wait(lambda: self.safety.contactors_open)
        self.vehicle.set(contactors=False, load='B')
        self.command(mode=5)
        self.wait(lambda: self.power.voltage < 60.0)
        self.command(mode=0, session_id='', lock_connector=False)

    def unplug(self):
        self.vehicle.set(contactors=False, load='B')
        self.serve(0.2)
        self.vehicle.set(plugged=False)
        self.wait(lambda: self.pilot.state == ControlPilot.STATE_A)

    def close(self):
        if self.vehicle is not None:
            self.vehicle.close()
        for process in self.processes.values():
            process.end()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
