"""The devices of the maps of this package, as Modbus sees them."""

from modbus_line import Device

NO_TEST, EXTERNAL_TEST = 0x0000, 0x8000
DEVICE_ERROR = 0x0200


class Bender(Device):
    """isoCHA425HV: values with a status word; the self-test lasts for some polls of the value."""

    def __init__(self, resistance=550e3, voltage=400.0, firmware=510, test_ends=NO_TEST):
        super().__init__(3, dict.fromkeys((
            *range(1000, 1012), *range(3000, 3030), 8005, *range(9800, 9830)), 0), self.told)
        self.put(1000, '>f', resistance)
        self.put(1008, '>f', voltage)
        self.put_text(9800, 'isoCHA425HV', 10)
        self.registers[9821] = firmware
        self.polls_of_test = 0
        self.test_ends = test_ends

    def told(self, address, value):
        if (address, value) == (8005, 0x5445):
            self.polls_of_test = 4

    async def action(self, function, start, address, count, current, values):
        if address == 1000 and self.polls_of_test:
            self.polls_of_test -= 1
            self.registers[1002] = EXTERNAL_TEST if self.polls_of_test else self.test_ends
        return await super().action(function, start, address, count, current, values)


class Dold(Device):
    def __init__(self):
        super().__init__(1, {0: 0, 1: 5, 2000: 5000, 2001: 0, 2002: 400})
        self.polls_of_test = 0

    async def action(self, function, start, address, count, current, values):
        if values is not None:  # control word: holding registers are apart from the input registers
            self.writes.append((address, values[0]))
            self.registers[1] = 5 if values[0] & 0x100 else 3 if values[0] & 0x10 else 1
            self.polls_of_test = 4 if values[0] & 0x10 else 0
            return None
        if address == 0 and self.polls_of_test:
            self.polls_of_test -= 1
            self.registers[1] = 3 if self.polls_of_test else 1
        return await super().action(function, start, address, count, current, values)


def em580():
    device = Device(1, dict.fromkeys((*range(80), *range(0x5000, 0x5020), 0x7100, 0x7101,
                                      *range(0x7110, 0x7110 + 2031)), 0))
    device.put(52, '>i', 12345, little_words=True)
    device.put(78, '>i', 678, little_words=True)
    device.put_text(0x5000, 'BY1234567890', 7)
    return device


def dct1(volts=400.0):
    device = Device(1, {0: 0, 1: 0})
    device.put(0, '>i', round(10 * volts), little_words=True)
    return device
