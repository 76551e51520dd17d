"""An emulated IIO device that converts when it is read: its files in a folder."""

#: 12 bits of 3.3 V, in mV.
SCALE = 3300.0 / 4096
SUPPLY, PULL_UP = 3.3, 2000.0
#: A divider of 330:1 with a live zero of 0.5 V: 0 V at the connector are 0.5 V at the input.
GAIN, ZERO = 330.0, -165.0


class IioDevice:
    """Voltages as they are at the inputs; a channel that has lost its file cannot be read."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        (folder / 'in_voltage_scale').write_text(f'{SCALE}\n')

    def put(self, channel, volts):
        code = min(max(round(volts * 1e3 / SCALE), 0), 4095)
        (self.folder / f'in_{channel}_raw').write_text(f'{code}\n')

    def connector(self, volts, channel='voltage0'):
        self.put(channel, (volts - ZERO) / GAIN)

    def resistance(self, ohm, channel):
        self.put(channel, SUPPLY if ohm is None else SUPPLY * ohm / (ohm + PULL_UP))

    def lose(self, channel):
        (self.folder / f'in_{channel}_raw').unlink()

    def voltmeter(self, **more):
        return {'adc': str(self.folder), 'gain': str(GAIN), 'zero': str(ZERO), 'lowest': '-30',
                'highest': '1100', **more}

    def thermometer(self, **more):
        return {'adc': str(self.folder), 'contacts': 'DC+:voltage2,DC-:voltage3',
                'sensor': 'pt1000', 'supply': str(SUPPLY), 'pull_up': str(PULL_UP), **more}


