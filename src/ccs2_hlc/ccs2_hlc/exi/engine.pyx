# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Read and write EXI streams by the tables of one schema.

The tables become flat C arrays once; after that a message costs one pass over its bits and one
allocation per object.  Values go straight into the slots of the message classes, whose offsets
are looked up (and checked) when the tables are loaded.

Nothing here trusts its input: every read is preceded by a check of what is left, lengths are
compared with what is left before anything of that length is allocated, and nesting is bounded by
``MAX_DEPTH``.  A code that the schema does not declare is an error.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, \
    PyBytes_GET_SIZE
from cpython.list cimport PyList_Append, PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check, PyLong_FromLongLong, \
    PyLong_FromUnsignedLongLong
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.unicode cimport PyUnicode_Check

from .bits cimport *

from .compiler import Form, Kind
from .errors import ExiError

cdef extern from 'Python.h':
    ctypedef struct PyTypeObject:
        pass
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member
    PyTypeObject PyMemberDescr_Type
    PyTypeObject *Py_TYPE(PyObject *value) noexcept
    object PyType_GenericAlloc(PyTypeObject *cls, Py_ssize_t items)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maximum)
    object PyUnicode_FromKindAndData(int kind, const void *data, Py_ssize_t size)
    void *PyUnicode_DATA(object text)
    bint PyUnicode_IS_ASCII(object text)
    int PyUnicode_READY(object text) except -1
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_UCS4 PyUnicode_READ_CHAR(object text, Py_ssize_t index)

cdef extern from 'structmember.h':
    int T_OBJECT_EX

cdef enum:
    MAX_DEPTH = 32        # the deepest message nests 9 elements
    MAX_SLOTS = 64        # per class; the largest has 24
    MAX_INTEGER_OCTETS = 64  # 448 bits; an X.509 serial number has at most 160

    END = 0
    ELEMENT = 1
    ATTRIBUTE = 2
    TEXT = 3
    REFUSED = 4

    BOOLEAN = 0
    ENUMERATION = 1
    NBIT = 2
    UNSIGNED = 3
    SIGNED = 4
    STRING = 5
    BINARY = 6

if [kind.value for kind in Kind] != [END, ELEMENT, ATTRIBUTE, TEXT, REFUSED] or \
        [form.value for form in Form] != [
            BOOLEAN, ENUMERATION, NBIT, UNSIGNED, SIGNED, STRING, BINARY]:
    raise ImportError('engine and compiler are of different versions')

cdef struct Value:
    int form
    int bits
    bint bounded_below
    bint bounded_above
    int64_t low           # of a number, or of a length
    uint64_t high
    PyObject *members     # tuple of an enumeration
    Py_ssize_t count
    PyObject *pattern     # compiled regular expression, or NULL

cdef struct Production:
    int kind
    int slot
    int type
    int value
    int next
    int again
    int more
    int needed
    int limit
    int particle
    int qname
    bint many
    bint one_of_several
    bint abstract
    PyObject *name

cdef struct State:
    int first
    int count
    int bits

cdef struct Type:
    PyTypeObject *cls
    int start
    int slots             # how many
    bint flat
    bint opaque
    Py_ssize_t *offsets
    bint *lists

cdef struct Reader:
    Input bits
    bint validate
    int depth
    PyObject *path[MAX_DEPTH + 1]
    PyObject *strings     # dict of string-table partitions, or NULL
    PyObject *trace       # list, or NULL

cdef struct Writer:
    Output bits
    bint validate
    int depth
    PyObject *path[MAX_DEPTH + 1]


cdef str path_of(PyObject **path, int depth):
    cdef int i
    return '/'.join([<str>path[i] for i in range(depth + 1) if path[i] != NULL])


cdef int fail_reading(Reader *reader, str reason) except -1:
    raise ExiError(reason, reader.bits.position, path_of(reader.path, reader.depth))


cdef int fail_writing(Writer *writer, str reason) except -1:
    raise ExiError(reason, writer.bits.position, path_of(writer.path, writer.depth))


cdef inline int need(Reader *reader, Py_ssize_t bits) except -1:
    if available(&reader.bits) < bits:
        fail_reading(reader, 'the stream ends too early')
    return 0


cdef inline int room(Writer *writer, Py_ssize_t octets) except -1:
    if reserve(&writer.bits, octets) < 0:
        raise MemoryError
    return 0


cdef int note(Reader *reader, Py_ssize_t start, str what, object value) except -1:
    """Record what the bits from ``start`` on mean."""
    (<list>reader.trace).append(
        (start, reader.bits.position - start, reader.depth, what, value))
    return 0


include 'reading.pxi'
include 'writing.pxi'


cdef inline int following(const Production *production, int taken) noexcept:
    """Return the state after ``taken`` elements of a repeated particle."""
    if taken == production.limit:
        return production.next
    return production.more if taken < production.needed else production.again


cdef inline PyObject **slot_of(object owner, Py_ssize_t offset) noexcept:
    return <PyObject **>(<char *><PyObject *>owner + offset)


@cython.final
cdef class Grammar:
    """The compiled grammar of one schema: decodes and encodes its documents and fragments."""

    cdef readonly str schema
    cdef readonly list document
    cdef readonly list fragment
    cdef Value *values
    cdef Production *productions
    cdef State *states
    cdef Type *types
    cdef Py_ssize_t *offsets
    cdef bint *lists
    cdef object tables       # keeps alive what the C arrays point to
    cdef dict root_codes

    def __cinit__(self, str schema, object tables):
        self.schema = schema
        self.tables = tables
        self.document = tables.document
        self.fragment = tables.fragment
        self.load_values(tables.values)
        self.load_states(tables.states)
        self.load_types(tables.types)
        self.check_references(len(tables.values), len(tables.states), len(tables.types))
        self.root_codes = {
            tables.types[root.type].cls: code
            for code, root in enumerate(self.document) if root.message}

    def __dealloc__(self):
        PyMem_Free(self.values)
        PyMem_Free(self.productions)
        PyMem_Free(self.states)
        PyMem_Free(self.types)
        PyMem_Free(self.offsets)
        PyMem_Free(self.lists)

    cdef int load_values(self, list values) except -1:
        cdef Py_ssize_t i
        cdef Value *made
        self.values = <Value *>PyMem_Calloc(len(values) or 1, sizeof(Value))
        if self.values == NULL:
            raise MemoryError
        for i in range(len(values)):
            spec = values[i]
            made = &self.values[i]
            made.form = spec.form
            made.bits = spec.bits
            made.bounded_below = spec.low is not None
            made.low = spec.low or 0
            made.bounded_above = spec.high is not None
            # A negative upper bound would need another representation; no schema has one.
            made.high = spec.high or 0
            made.members = <PyObject *>spec.members
            made.count = len(spec.members)
            made.pattern = NULL if spec.pattern is None else <PyObject *>spec.pattern
        return 0

    cdef int load_states(self, list states) except -1:
        cdef Py_ssize_t i
        cdef int filled = 0
        cdef Production *made
        self.states = <State *>PyMem_Calloc(len(states) or 1, sizeof(State))
        self.productions = <Production *>PyMem_Calloc(
            sum([len(state) for state in states]) or 1, sizeof(Production))
        if self.states == NULL or self.productions == NULL:
            raise MemoryError
        for i in range(len(states)):
            self.states[i].first = filled
            self.states[i].count = len(states[i])
            self.states[i].bits = (<int>len(states[i])).bit_length()
            for spec in states[i]:
                made = &self.productions[filled]
                made.kind = spec.kind
                made.slot = spec.slot
                made.type = spec.type
                made.value = spec.value
                made.next = spec.next
                made.again = spec.again
                made.more = spec.more
                made.needed = spec.needed
                made.limit = spec.limit
                made.particle = spec.particle
                made.qname = spec.qname
                made.many = spec.many
                made.one_of_several = spec.one_of_several
                made.abstract = spec.abstract
                made.name = <PyObject *>spec.name if spec.name else NULL
                filled += 1
        return 0

    cdef int load_types(self, list types) except -1:
        cdef Py_ssize_t i, j
        cdef Py_ssize_t filled = 0
        cdef PyMemberDescrObject *member
        cdef Type *made
        total = sum([len(spec.slots) for spec in types]) or 1
        self.types = <Type *>PyMem_Calloc(len(types) or 1, sizeof(Type))
        self.offsets = <Py_ssize_t *>PyMem_Calloc(total, sizeof(Py_ssize_t))
        self.lists = <bint *>PyMem_Calloc(total, sizeof(bint))
        if self.types == NULL or self.offsets == NULL or self.lists == NULL:
            raise MemoryError
        for i in range(len(types)):
            spec = types[i]
            made = &self.types[i]
            made.cls = <PyTypeObject *><PyObject *>spec.cls
            made.start = spec.start
            made.flat = spec.flat
            made.opaque = spec.opaque
            made.slots = len(spec.slots)
            made.offsets = self.offsets + filled
            made.lists = self.lists + filled
            if made.slots > MAX_SLOTS:
                raise TypeError(f'{spec.cls.__name__} has more than {MAX_SLOTS} fields')
            for j in range(made.slots):
                descriptor = getattr(spec.cls, spec.slots[j])
                member = <PyMemberDescrObject *><PyObject *>descriptor
                if Py_TYPE(<PyObject *>descriptor) != &PyMemberDescr_Type \
                        or member.d_member.type != T_OBJECT_EX:
                    raise TypeError(f'{spec.cls.__name__}.{spec.slots[j]} is not a slot')
                made.offsets[j] = member.d_member.offset
                made.lists[j] = spec.lists[j]
            filled += made.slots
        return 0

    cdef int check_references(self, int values, int states, int types) except -1:
        """Raise ``ValueError`` if an index leads out of the tables, which are used unchecked."""
        cdef int i, j, k
        cdef const Production *each
        for i in range(types):
            if not self.types[i].opaque and not 0 <= self.types[i].start < states:
                raise ValueError(f'type {i} has no first state')
        for j in range(states):
            for k in range(self.states[j].count):
                each = &self.productions[self.states[j].first + k]
                if each.kind == END or each.kind == REFUSED:
                    continue
                if each.type >= types or each.value >= values or each.slot < 0 \
                        or each.type < 0 and each.value < 0 \
                        or each.kind != ELEMENT and each.value < 0 \
                        or not 0 <= each.next < states \
                        or each.limit != 1 and not 0 <= each.again < states \
                        or each.needed > 1 and not 0 <= each.more < states:
                    raise ValueError(f'production {k} of state {j} leads nowhere')
        return 0

    # Reading

    def decode(self, bytes data not None, bint fragment=False, bint validate=True,
               bint string_table=False, list trace=None):
        """Return (root code, message, bits read); raise ``ExiError``.

        With ``trace``, append (first bit, bits, depth, what, value) for every event.
        """
        cdef Reader reader
        cdef list roots = self.fragment if fragment else self.document
        cdef dict strings = {} if string_table else None
        reader.bits.data = <const uint8_t *>PyBytes_AS_STRING(data)
        reader.bits.size = PyBytes_GET_SIZE(data)
        reader.bits.position = 0
        reader.validate = validate
        reader.depth = 0
        reader.path[0] = NULL
        reader.strings = <PyObject *>strings if string_table else NULL
        reader.trace = NULL if trace is None else <PyObject *>trace
        need(&reader, 8)
        if take(&reader.bits, 8) != 0x80:
            reader.bits.position = 0
            fail_reading(&reader, 'the EXI header is not 0x80')
        if trace is not None:
            note(&reader, 0, 'EXI header', 0x80)
        cdef int extra = 2 if fragment else 1
        cdef int bits = (<int>len(roots) + extra - 1).bit_length()
        cdef Py_ssize_t start = reader.bits.position
        need(&reader, bits)
        cdef int code = take(&reader.bits, bits)
        if code >= len(roots):
            fail_reading(&reader, f'no root element has code {code}')
        root = roots[code]
        name = root.name
        reader.path[0] = <PyObject *>name
        if trace is not None:
            note(&reader, start, f'SE({name})', code)
        if not fragment and not root.message:
            fail_reading(&reader, 'this element is no message')
        if root.type >= 0:
            message = self.read_type(&reader, root.type)
        else:
            message = self.read_simple(&reader, root.value, -1)
        if fragment:
            start = reader.bits.position
            need(&reader, bits)
            if take(&reader.bits, bits) != <uint64_t>len(roots) + 1:
                fail_reading(&reader, 'the fragment does not end after its element')
            if trace is not None:
                note(&reader, start, 'ED', len(roots) + 1)
        return code, message, reader.bits.position

    cdef object read_simple(self, Reader *reader, int value, int qname):
        """Read the content of an element without attributes: value and end, a bit before each."""
        cdef Py_ssize_t start = reader.bits.position
        need(reader, 1)
        if take(&reader.bits, 1):
            fail_reading(reader, 'the value is missing')
        if reader.trace != NULL:
            reader.depth += 1
            reader.path[reader.depth] = NULL
            note(reader, start, 'CH', 0)
            start = reader.bits.position
        item = read_value(reader, &self.values[value], qname)
        if reader.trace != NULL:
            note(reader, start, 'value', item)
            reader.depth -= 1
            start = reader.bits.position
        need(reader, 1)
        if take(&reader.bits, 1):
            fail_reading(reader, 'undeclared content after the value')
        if reader.trace != NULL:
            note(reader, start, 'EE', 0)
        return item

    cdef object read_type(self, Reader *reader, int index):
        cdef Type *kind = &self.types[index]
        cdef State *state
        cdef Production *production
        cdef PyObject **slot
        cdef PyObject *made
        cdef int particle = -1
        cdef int taken = 0
        cdef int current = kind.start
        cdef int i
        cdef uint64_t code
        cdef Py_ssize_t start
        if kind.opaque:
            fail_reading(reader, 'this element is not supported')
        if reader.depth >= MAX_DEPTH - 1:
            fail_reading(reader, 'elements are nested too deeply')
        owner = None if kind.flat else PyType_GenericAlloc(kind.cls, 0)
        only = None
        reader.depth += 1
        while True:
            reader.path[reader.depth] = NULL
            state = &self.states[current]
            start = reader.bits.position
            need(reader, state.bits)
            code = take(&reader.bits, state.bits)
            if code >= <uint64_t>state.count:
                fail_reading(reader, f'undeclared content (code {code} of {state.count})')
            production = &self.productions[state.first + code]
            if production.kind == END:
                break
            reader.path[reader.depth] = production.name
            if production.kind == REFUSED:
                fail_reading(reader, f'{<str>production.name} is not supported')
            if reader.validate and production.abstract:
                fail_reading(reader, 'an abstract element is not a value')
            if production.kind == ELEMENT:
                if reader.trace != NULL:
                    note(reader, start, f'SE({<str>production.name})', code)
                if production.type >= 0:
                    item = self.read_type(reader, production.type)
                else:
                    item = self.read_simple(reader, production.value, production.qname)
            else:
                if reader.trace != NULL:
                    note(reader, start, 'CH' if production.kind == TEXT
                         else f'AT({<str>production.name})', code)
                    start = reader.bits.position
                item = read_value(reader, &self.values[production.value], production.qname)
                if reader.trace != NULL:
                    note(reader, start, 'value', item)
            if kind.flat:
                only = item
            else:
                slot = slot_of(owner, kind.offsets[production.slot])
                if production.many:
                    if slot[0] == NULL:
                        made_list = []
                        Py_INCREF(made_list)
                        slot[0] = <PyObject *>made_list
                    PyList_Append(<list>slot[0], item)
                else:
                    Py_INCREF(item)
                    slot[0] = <PyObject *>item
            if production.limit == 1:
                current = production.next
            else:
                if particle != production.particle:
                    particle = production.particle
                    taken = 0
                taken += 1
                current = following(production, taken)
        if reader.trace != NULL:
            reader.depth -= 1
            note(reader, start, 'EE', code)
            reader.depth += 1
        reader.depth -= 1
        if kind.flat:
            return only
        for i in range(kind.slots):
            slot = slot_of(owner, kind.offsets[i])
            if slot[0] == NULL:
                absent = [] if kind.lists[i] else None
                Py_INCREF(absent)
                slot[0] = <PyObject *>absent
        return owner

    # Writing

    def encode_root(self, message, bint validate=True):
        """Return the document whose root element is ``message``; raise ``ExiError``."""
        code = self.root_codes.get(type(message))
        if code is None:
            raise TypeError(f'{type(message).__name__} is no message of {self.schema}')
        return self.encode(self.document, code, 1, message, validate)

    def encode_fragment(self, int code, value, bint validate=True):
        """Return the fragment of one element, given by its code in ``fragment``."""
        if not 0 <= code < len(self.fragment):
            raise IndexError('no such element')
        return self.encode(self.fragment, code, 2, value, validate)

    cdef bytes encode(self, list roots, int code, int extra, object message, bint validate):
        cdef Writer writer
        cdef int bits = (<int>len(roots) + extra - 1).bit_length()
        root = roots[code]
        name = root.name
        writer.bits.size = 256
        writer.bits.position = 0
        writer.validate = validate
        writer.depth = 0
        writer.path[0] = <PyObject *>name
        writer.bits.data = <uint8_t *>calloc(writer.bits.size, 1)
        if writer.bits.data == NULL:
            raise MemoryError
        try:
            put(&writer.bits, 0x80, 8)
            put(&writer.bits, code, bits)
            if root.type >= 0:
                self.write_type(&writer, root.type, message)
            else:
                self.write_simple(&writer, root.value, message)
            if extra == 2:
                room(&writer, 4)
                put(&writer.bits, len(roots) + 1, bits)
            return PyBytes_FromStringAndSize(
                <char *>writer.bits.data, (writer.bits.position + 7) >> 3)
        finally:
            free(writer.bits.data)

    cdef int write_simple(self, Writer *writer, int value, object item) except -1:
        put(&writer.bits, 0, 1)
        write_value(writer, &self.values[value], item)
        put(&writer.bits, 0, 1)
        return 0

    cdef int write_type(self, Writer *writer, int index, object owner) except -1:
        cdef Type *kind = &self.types[index]
        cdef State *state
        cdef Production *production = NULL
        cdef PyObject *item
        cdef Py_ssize_t done[MAX_SLOTS]
        cdef int particle = -1
        cdef int taken = 0
        cdef int current = kind.start
        cdef int code = 0
        if kind.opaque:
            fail_writing(writer, 'this element is not supported')
        if not kind.flat and Py_TYPE(<PyObject *>owner) != kind.cls:
            fail_writing(
                writer, f'expected {(<object><PyObject *>kind.cls).__name__}, '
                f'not {type(owner).__name__}')
        if writer.depth >= MAX_DEPTH - 1:
            fail_writing(writer, 'elements are nested too deeply')
        memset(done, 0, kind.slots * sizeof(Py_ssize_t))
        writer.depth += 1
        while True:
            writer.path[writer.depth] = NULL
            room(writer, 8)
            state = &self.states[current]
            item = NULL
            for code in range(state.count):
                production = &self.productions[state.first + code]
                if production.kind == END:
                    self.check_all_written(writer, kind, owner, done)
                    put(&writer.bits, code, state.bits)
                    writer.depth -= 1
                    return 0
                if production.kind == REFUSED:
                    continue
                item = self.pending(writer, kind, production, owner, done[production.slot])
                if item != NULL:
                    break
            if item == NULL:
                self.fail_missing(writer, kind, state, owner, done)
            put(&writer.bits, code, state.bits)
            writer.path[writer.depth] = production.name
            if writer.validate and production.abstract:
                fail_writing(writer, 'an abstract element is not a value')
            if production.type >= 0:
                self.write_type(writer, production.type, <object>item)
            elif production.kind == ELEMENT:
                self.write_simple(writer, production.value, <object>item)
            else:
                write_value(writer, &self.values[production.value], <object>item)
            done[production.slot] += 1
            if production.limit == 1:
                current = production.next
            else:
                if particle != production.particle:
                    particle = production.particle
                    taken = 0
                taken += 1
                current = following(production, taken)

    cdef PyObject *slot_value(
            self, Writer *writer, const Type *kind, object owner, int slot) except NULL:
        cdef PyObject *item
        if kind.flat:
            return <PyObject *>owner
        item = slot_of(owner, kind.offsets[slot])[0]
        if item == NULL:
            fail_writing(writer, f'a field of {type(owner).__name__} is not set')
        return item

    cdef PyObject *pending(
            self, Writer *writer, const Type *kind, const Production *production, object owner,
            Py_ssize_t done) except? NULL:
        """Return what ``production`` would write next, borrowed, or NULL if that is nothing."""
        cdef PyObject *item = self.slot_value(writer, kind, owner, production.slot)
        cdef const Type *target
        if production.many:
            if not PyList_CheckExact(<object>item):
                writer.path[writer.depth] = production.name
                fail_writing(writer, f'expected a list, not {type(<object>item).__name__}')
            if done >= PyList_GET_SIZE(<object>item):
                return NULL
            item = PyList_GET_ITEM(<object>item, done)
        elif done:
            return NULL
        if production.type >= 0:
            target = &self.types[production.type]
            if target.flat:
                return item
            if <object>item is None:
                return NULL
            if production.one_of_several and Py_TYPE(item) != target.cls:
                return NULL
        elif <object>item is None:
            return NULL
        return item

    cdef int check_all_written(
            self, Writer *writer, const Type *kind, object owner,
            const Py_ssize_t *done) except -1:
        """Raise if a value of ``owner`` has found no place."""
        cdef int i
        cdef PyObject *item
        cdef Py_ssize_t present
        for i in range(kind.slots):
            item = self.slot_value(writer, kind, owner, i)
            if kind.lists[i]:
                present = PyList_GET_SIZE(<object>item) if PyList_CheckExact(<object>item) else 0
            else:
                present = <object>item is not None
            if present > done[i]:
                self.fail_surplus(writer, kind, i, present)
        return 0

    cdef int fail_surplus(
            self, Writer *writer, const Type *kind, int slot, Py_ssize_t present) except -1:
        cls = <object><PyObject *>kind.cls
        name = self.tables.types[kind - self.types].slots[slot]
        if kind.lists[slot]:
            fail_writing(writer, f'{cls.__name__}.{name}: {present} items are too many, '
                         'or one is of a type that does not belong there')
        fail_writing(writer, f'{cls.__name__}.{name} cannot be sent: it excludes another field '
                     'that is set, or its type does not belong there')

    cdef int fail_missing(
            self, Writer *writer, const Type *kind, const State *state, object owner,
            const Py_ssize_t *done) except -1:
        cdef int code
        cdef Production *production
        wanted = []
        for code in range(state.count):
            production = &self.productions[state.first + code]
            if production.kind != REFUSED:
                wanted.append(<str>production.name)
                item = <object>self.slot_value(writer, kind, owner, production.slot)
                if not production.many and item is not None:
                    writer.path[writer.depth] = production.name
                    fail_writing(writer, f'{type(item).__name__} does not belong there')
        fail_writing(writer, f'{" or ".join(wanted) or "content"} is missing')
