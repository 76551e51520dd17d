"""Everything that a running station says, kept as octets; and what its secrets are."""

import contextlib
import importlib
from pathlib import Path

import dpkt
from cryptography.hazmat.primitives.asymmetric import ec
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message

from ccs2_link.homeplug.errors import FrameError
from ccs2_link.homeplug.frame import decode
from ccs2_link.homeplug.messages import CmSlacMatchCnf
from ccs2_pki.keys import parse_private_key


class Overheard:
    """Records every topic of the graph, hidden ones, too, and the parameters of every node."""

    def __init__(self, connector):
        self._connector = connector
        self._node = connector.node
        #: Octets by place: a topic, a service, a node's parameters.
        self.written = {}
        self._subscriptions = {}

    def add(self, place, data):
        self.written.setdefault(place, bytearray()).extend(data)

    def follow(self):
        """Subscribe to every topic that is there and not yet followed."""
        for topic, (kind, *_) in self._node.get_topic_names_and_types():
            publishers = self._node.get_publishers_info_by_topic(topic)
            if topic in self._subscriptions or not publishers:
                continue
            profiles = [publisher.qos_profile for publisher in publishers]
            qos = QoSProfile(
                depth=1000,
                reliability=(
                    ReliabilityPolicy.RELIABLE
                    if all(profile.reliability == ReliabilityPolicy.RELIABLE
                           for profile in profiles) else ReliabilityPolicy.BEST_EFFORT),
                durability=(
                    DurabilityPolicy.TRANSIENT_LOCAL
                    if all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                           for profile in profiles) else DurabilityPolicy.VOLATILE))
            self._subscriptions[topic] = self._node.create_subscription(
                _class(kind), topic, lambda data, topic=topic: self.add(topic, data), qos,
                raw=True)

    def call(self, service, place, **fields):
        """Call a service of the connector; keep its answer, for the question holds the token."""
        answer = self._connector.call(service, place, service.Request(**fields))
        self.add(f'answer of {place}', serialize_message(answer))
        return answer

    def parameters(self):
        """Keep names, values and descriptions of all parameters of all nodes of the connector."""
        for node in sorted(self._connector.nodes()):
            name = node.removeprefix(f'/{self._connector.name}/')
            if name == node:
                continue
            names = self.call(ListParameters, f'{name}/list_parameters').result.names
            self.call(GetParameters, f'{name}/get_parameters', names=names)
            self.call(DescribeParameters, f'{name}/describe_parameters', names=names)

    def processes(self, pids):
        """Keep the command lines and environments of processes, which others can read, too."""
        for name, pid in pids.items():
            for part in ('cmdline', 'environ'):
                self.add(f'{part} of {name}', Path(f'/proc/{pid}/{part}').read_bytes())

    def files(self, folder):
        """Keep all files below a folder."""
        for path in sorted(folder.rglob('*')):
            if path.is_file() and not path.is_symlink():
                self.add(str(path), path.read_bytes())


def _class(kind):
    """Return the class of a topic's type, that of an action's feedback, too."""
    package, part, name = kind.split('/')
    module = importlib.import_module(f'{package}.{part}')
    if part == 'action':
        action, _, message = name.rpartition('_')
        return getattr(getattr(module, action).Impl, message)
    return getattr(module, name)


def network_keys(capture):
    """Return the keys that stations have told cars in a capture of the power line.

    SLAC hands the key over in the clear: whoever is on the cable hears it.
    """
    keys = set()
    with capture.open('rb') as file:
        for _, frame in dpkt.pcap.Reader(file):
            with contextlib.suppress(FrameError):
                message = decode(frame).message
                if isinstance(message, CmSlacMatchCnf):
                    keys.add(message.nmk.reveal())
    return {f'network key {number}': key for number, key in enumerate(sorted(keys))}


def scalars(folder):
    """Return the numbers of the private keys (PEM) of a folder as octets, by the file's name."""
    found = {}
    for path in sorted(folder.glob('*.pem')):
        key = parse_private_key(path.read_bytes())
        found[path.stem] = (
            key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, 'big')
            if isinstance(key, ec.EllipticCurvePrivateKey) else key.private_bytes_raw())
    return found


def master_secrets(key_log):
    """Return the secrets of TLS connections from a key log, by what they are of."""
    found = {}
    for line in key_log.read_text().splitlines():
        label, random, secret = line.split()
        found[f'{label} of {random[:8]}'] = bytes.fromhex(secret)
    return found

