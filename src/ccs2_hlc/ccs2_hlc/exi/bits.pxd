# cython: language_level=3
"""Bits in and out of memory, most significant first; no Python, no errors, no surprises.

Every function that reads demands that the caller has checked ``available``; every function that
writes demands ``reserve``.  ``take_unsigned`` checks for itself because its length is in the data.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t exi_load(const uint8_t *p)
    {
        uint64_t w;
        memcpy(&w, p, 8);
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        w = __builtin_bswap64(w);
    #endif
        return w;
    }
    static inline void exi_store(uint8_t *p, uint64_t w)
    {
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        w = __builtin_bswap64(w);
    #endif
        memcpy(p, &w, 8);
    }
    """
    uint64_t load "exi_load"(const uint8_t *p) noexcept nogil
    void store "exi_store"(uint8_t *p, uint64_t w) noexcept nogil


cdef struct Input:
    const uint8_t *data
    Py_ssize_t size     # octets
    Py_ssize_t position  # bits


cdef struct Output:
    uint8_t *data       # zero from position on
    Py_ssize_t size     # octets
    Py_ssize_t position  # bits


cdef inline Py_ssize_t available(const Input *source) noexcept nogil:
    """Return how many bits are left."""
    return source.size * 8 - source.position


cdef inline uint64_t take(Input *source, int count) noexcept nogil:
    """Read ``count`` bits, 0 to 32."""
    cdef Py_ssize_t at = source.position >> 3
    cdef int offset = source.position & 7
    cdef uint64_t word = 0
    cdef int i
    if count == 0:
        return 0
    source.position += count
    if source.size - at >= 8:
        word = load(source.data + at)
    else:
        for i in range(source.size - at):
            word |= <uint64_t>source.data[at + i] << (56 - 8 * i)
    return (word << offset) >> (64 - count)


cdef inline int take_unsigned(Input *source, uint64_t *value) noexcept nogil:
    """Read an EXI Unsigned Integer: 0 done, -1 the data end, 1 it has more than 64 bits.

    Unless it is done the position is left where it was.
    """
    cdef Py_ssize_t start = source.position
    cdef uint64_t result = 0
    cdef uint64_t octet
    cdef int shift = 0
    while True:
        if available(source) < 8:
            source.position = start
            return -1
        octet = take(source, 8)
        if shift == 63 and (octet & 0x7E or octet & 0x80):
            source.position = start
            return 1
        result |= (octet & 0x7F) << shift
        if not octet & 0x80:
            value[0] = result
            return 0
        shift += 7


cdef inline void take_octets(Input *source, uint8_t *target, Py_ssize_t count) noexcept nogil:
    """Copy ``count`` octets from any bit position, eight at a time."""
    cdef const uint8_t *data = source.data + (source.position >> 3)
    cdef int offset = source.position & 7
    cdef Py_ssize_t i = 0
    source.position += count * 8
    if offset == 0:
        memcpy(target, data, count)
        return
    # Octet i needs octet i + 1 of the source, which exists: the bits of the last one lie in it.
    while i + 8 <= count:
        store(target + i, (load(data + i) << offset) | (data[i + 8] >> (8 - offset)))
        i += 8
    while i < count:
        target[i] = <uint8_t>((data[i] << offset) | (data[i + 1] >> (8 - offset)))
        i += 1


cdef inline int reserve(Output *target, Py_ssize_t octets) noexcept nogil:
    """Make room for ``octets`` more and the word that ``put`` touches; -1 without memory."""
    cdef Py_ssize_t needed = (target.position >> 3) + octets + 16
    cdef Py_ssize_t size
    cdef uint8_t *data
    if needed <= target.size:
        return 0
    size = needed + (needed >> 1)
    data = <uint8_t *>realloc(target.data, size)
    if data == NULL:
        return -1
    memset(data + target.size, 0, size - target.size)
    target.data = data
    target.size = size
    return 0


cdef inline void put(Output *target, uint64_t value, int count) noexcept nogil:
    """Write the low ``count`` bits, 0 to 32, of ``value``, which has no others."""
    cdef uint8_t *data = target.data + (target.position >> 3)
    if count:
        store(data, load(data) | value << (64 - count - (target.position & 7)))
        target.position += count


cdef inline void put_unsigned(Output *target, uint64_t value) noexcept nogil:
    """Write an EXI Unsigned Integer: at most ten octets."""
    while value > 0x7F:
        put(target, value & 0x7F | 0x80, 8)
        value >>= 7
    put(target, value, 8)


cdef inline void put_octets(Output *target, const uint8_t *source, Py_ssize_t count) noexcept nogil:
    """Copy ``count`` octets to any bit position, eight at a time."""
    cdef uint8_t *data = target.data + (target.position >> 3)
    cdef int offset = target.position & 7
    cdef Py_ssize_t i = 0
    target.position += count * 8
    if offset == 0:
        memcpy(data, source, count)
        return
    while i + 8 <= count:
        store(data + i, load(data + i) | load(source + i) >> offset)
        data[i + 8] = <uint8_t>(source[i + 7] << (8 - offset))
        i += 8
    while i < count:
        data[i] |= source[i] >> offset
        data[i + 1] = <uint8_t>(source[i] << (8 - offset))
        i += 1
