# Reading simple values; part of engine.pyx.

cdef object read_big(Reader *reader):
    """Read an Unsigned Integer of more than 64 bits."""
    cdef object value = 0
    cdef int i
    cdef uint64_t octet
    for i in range(MAX_INTEGER_OCTETS):
        need(reader, 8)
        octet = take(&reader.bits, 8)
        value |= <object>(octet & 0x7F) << (7 * i)
        if not octet & 0x80:
            return value
    fail_reading(reader, f'an integer has more than {MAX_INTEGER_OCTETS} octets')


cdef uint64_t read_length(Reader *reader) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t value = 0
    cdef int outcome = take_unsigned(&reader.bits, &value)
    if outcome < 0:
        fail_reading(reader, 'the stream ends too early')
    if outcome > 0 or value >> 48:
        fail_reading(reader, 'a length is absurd')
    return value


cdef int check_length(Reader *reader, const Value *value, uint64_t length) except -1:
    if length > <uint64_t>(available(&reader.bits) >> 3):
        fail_reading(reader, f'length {length} exceeds the rest of the stream')
    if reader.validate:
        if value.bounded_above and length > value.high:
            fail_reading(reader, f'length {length} exceeds {value.high}')
        if length < <uint64_t>value.low:
            fail_reading(reader, f'length {length} is below {value.low}')
    return 0


cdef int check_number(Reader *reader, const Value *value, object number) except -1:
    if value.bounded_below and number < value.low or value.bounded_above and number > value.high:
        fail_reading(reader, f'{number} is out of range')
    return 0


cdef object read_unsigned(Reader *reader, const Value *value):
    cdef uint64_t number = 0
    cdef int outcome = take_unsigned(&reader.bits, &number)
    if outcome == 0:
        if reader.validate and (
                number < <uint64_t>value.low or value.bounded_above and number > value.high):
            fail_reading(reader, f'{number} is out of range')
        return PyLong_FromUnsignedLongLong(number)
    big = read_big(reader)
    if reader.validate:
        check_number(reader, value, big)
    return big


cdef object read_signed(Reader *reader, const Value *value):
    cdef uint64_t magnitude = 0
    cdef int64_t number
    cdef bint negative
    need(reader, 1)
    negative = take(&reader.bits, 1)
    cdef int outcome = take_unsigned(&reader.bits, &magnitude)
    if outcome == 0 and magnitude < <uint64_t>1 << 63:
        number = -<int64_t>magnitude - 1 if negative else <int64_t>magnitude
        if reader.validate and (
                value.bounded_below and number < value.low
                or value.bounded_above and number >= 0 and <uint64_t>number > value.high):
            fail_reading(reader, f'{number} is out of range')
        return PyLong_FromLongLong(number)
    big = PyLong_FromUnsignedLongLong(magnitude) if outcome == 0 else read_big(reader)
    if negative:
        big = -big - 1
    if reader.validate:
        check_number(reader, value, big)
    return big


cdef object read_characters(Reader *reader, Py_ssize_t length):
    """Read ``length`` code points; the caller has checked that as many octets are left."""
    cdef Py_ssize_t start = reader.bits.position
    cdef Py_ssize_t i
    cdef int outcome
    cdef uint64_t point = 0
    cdef uint8_t high = 0
    cdef uint8_t *octets
    cdef Py_UCS4 *points
    if length == 0:
        return ''
    text = PyUnicode_New(length, 127)
    octets = <uint8_t *>PyUnicode_DATA(text)
    take_octets(&reader.bits, octets, length)
    for i in range(length):
        high |= octets[i]
    if not high & 0x80:
        return text
    reader.bits.position = start
    points = <Py_UCS4 *>PyMem_Calloc(length, sizeof(Py_UCS4))
    if points == NULL:
        raise MemoryError
    try:
        for i in range(length):
            outcome = take_unsigned(&reader.bits, &point)
            if outcome < 0:
                fail_reading(reader, 'the stream ends too early')
            if outcome > 0:
                fail_reading(reader, 'a character has more than 64 bits')
            if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
                fail_reading(reader, f'{point:#x} is no character')
            points[i] = <Py_UCS4>point
        return PyUnicode_FromKindAndData(4, points, length)
    finally:
        PyMem_Free(points)


cdef object read_hit(Reader *reader, list partition):
    """Read the index of a string-table hit."""
    cdef int bits
    cdef uint64_t index
    if not partition:
        fail_reading(reader, 'a string-table hit in an empty table')
    bits = (len(partition) - 1).bit_length()
    need(reader, bits)
    index = take(&reader.bits, bits)
    if index >= <uint64_t>len(partition):
        fail_reading(reader, f'no string {index} in the table')
    return partition[index]


cdef object read_string(Reader *reader, const Value *value, int qname):
    cdef uint64_t length = read_length(reader)
    cdef dict strings
    if length < 2:
        if reader.strings == NULL:
            fail_reading(reader, 'a string-table hit, which no charging protocol writes')
        strings = <dict>reader.strings
        text = read_hit(reader, strings.get(qname if length == 0 else None, []))
    else:
        check_length(reader, value, length - 2)
        text = read_characters(reader, length - 2)
        if reader.strings != NULL and length > 2:
            strings = <dict>reader.strings
            strings.setdefault(qname, []).append(text)
            strings.setdefault(None, []).append(text)
    if reader.validate and value.pattern != NULL \
            and (<object>value.pattern).fullmatch(text) is None:
        fail_reading(reader, f'{text!r} is not of the required form')
    return text


cdef object read_binary(Reader *reader, const Value *value):
    cdef uint64_t length = read_length(reader)
    check_length(reader, value, length)
    data = PyBytes_FromStringAndSize(NULL, length)
    take_octets(&reader.bits, <uint8_t *>PyBytes_AS_STRING(data), length)
    return data


cdef object read_value(Reader *reader, const Value *value, int qname):
    cdef uint64_t raw
    cdef int form = value.form
    if form <= NBIT:
        need(reader, value.bits)
        raw = take(&reader.bits, value.bits)
        if form == NBIT:
            if reader.validate and raw > value.high - <uint64_t>value.low:
                fail_reading(reader, f'{value.low + <int64_t>raw} is out of range')
            return PyLong_FromLongLong(value.low + <int64_t>raw)
        if form == BOOLEAN:
            return raw != 0
        if raw >= <uint64_t>value.count:
            fail_reading(reader, f'no enumeration value {raw} of {value.count}')
        return <object>PyTuple_GET_ITEM(<tuple>value.members, raw)
    if form == UNSIGNED:
        return read_unsigned(reader, value)
    if form == SIGNED:
        return read_signed(reader, value)
    if form == STRING:
        return read_string(reader, value, qname)
    return read_binary(reader, value)
