# Writing simple values; part of engine.pyx.

cdef int write_number(Writer *writer, const Value *value, object number) except -1:
    cdef int overflow = 0
    cdef long long small
    cdef uint64_t magnitude
    if not PyLong_Check(number) or number is True or number is False:
        fail_writing(writer, f'{type(number).__name__} is not an integer')
    small = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow:
        return write_big(writer, value, number)
    if value.form == NBIT:
        # What the bits cannot hold is never written; what they can is a matter of validation.
        magnitude = <uint64_t>small - <uint64_t>value.low
        if small < value.low or magnitude >> value.bits \
                or writer.validate and magnitude > value.high - <uint64_t>value.low:
            fail_writing(writer, f'{number} is out of range')
        put(&writer.bits, magnitude, value.bits)
        return 0
    if small < 0 and value.form == UNSIGNED or writer.validate and (
            value.bounded_below and small < value.low
            or value.bounded_above and small >= 0 and <uint64_t>small > value.high):
        fail_writing(writer, f'{number} is out of range')
    magnitude = <uint64_t>small if small >= 0 else ~<uint64_t>small
    if value.form == SIGNED:
        put(&writer.bits, small < 0, 1)
    put_unsigned(&writer.bits, magnitude)
    return 0


cdef int write_big(Writer *writer, const Value *value, object number) except -1:
    """Write an integer of more than 63 bits."""
    magnitude = number if number >= 0 else -number - 1
    # First of all, because Python refuses to print integers of absurd size.
    if magnitude.bit_length() > 7 * MAX_INTEGER_OCTETS:
        fail_writing(writer, f'an integer has more than {MAX_INTEGER_OCTETS} octets')
    if value.form == NBIT or value.form == UNSIGNED and number < 0 or writer.validate and (
            value.bounded_below and number < value.low
            or value.bounded_above and number > value.high):
        fail_writing(writer, f'{number} is out of range')
    if value.form == SIGNED:
        put(&writer.bits, number < 0, 1)
    room(writer, MAX_INTEGER_OCTETS)
    while magnitude > 0x7F:
        put(&writer.bits, <uint64_t>(magnitude & 0x7F) | 0x80, 8)
        magnitude >>= 7
    put(&writer.bits, magnitude, 8)
    return 0


cdef int check_writable(Writer *writer, const Value *value, Py_ssize_t length) except -1:
    if writer.validate:
        if value.bounded_above and <uint64_t>length > value.high:
            fail_writing(writer, f'length {length} exceeds {value.high}')
        if length < value.low:
            fail_writing(writer, f'length {length} is below {value.low}')
    return 0


cdef int write_string(Writer *writer, const Value *value, object text) except -1:
    cdef Py_ssize_t length, i
    cdef Py_UCS4 point
    if not PyUnicode_Check(text):
        fail_writing(writer, f'{type(text).__name__} is not a string')
    PyUnicode_READY(text)
    length = PyUnicode_GET_LENGTH(text)
    check_writable(writer, value, length)
    if writer.validate and value.pattern != NULL \
            and (<object>value.pattern).fullmatch(text) is None:
        fail_writing(writer, f'{text!r} is not of the required form')
    if PyUnicode_IS_ASCII(text):
        room(writer, length + 10)
        put_unsigned(&writer.bits, length + 2)
        put_octets(&writer.bits, <const uint8_t *>PyUnicode_DATA(text), length)
        return 0
    room(writer, 3 * length + 10)
    put_unsigned(&writer.bits, length + 2)
    for i in range(length):
        point = PyUnicode_READ_CHAR(text, i)
        if 0xD800 <= point <= 0xDFFF:
            fail_writing(writer, f'{<uint64_t>point:#x} is no character')
        put_unsigned(&writer.bits, point)
    return 0


cdef int write_value(Writer *writer, const Value *value, object item) except -1:
    cdef Py_ssize_t length, i
    room(writer, 12)
    if value.form == BOOLEAN:
        if item is not True and item is not False:
            fail_writing(writer, f'{type(item).__name__} is not a boolean')
        put(&writer.bits, item is True, 1)
    elif value.form == ENUMERATION:
        for i in range(value.count):
            if PyTuple_GET_ITEM(<tuple>value.members, i) == <PyObject *>item:
                put(&writer.bits, i, value.bits)
                return 0
        fail_writing(
            writer, f'{type(item).__name__} is not {type((<tuple>value.members)[0]).__name__}')
    elif value.form == STRING:
        write_string(writer, value, item)
    elif value.form == BINARY:
        if not PyBytes_Check(item):
            fail_writing(writer, f'{type(item).__name__} is not bytes')
        length = PyBytes_GET_SIZE(item)
        check_writable(writer, value, length)
        room(writer, length + 10)
        put_unsigned(&writer.bits, length)
        put_octets(&writer.bits, <const uint8_t *>PyBytes_AS_STRING(item), length)
    else:
        write_number(writer, value, item)
    return 0
