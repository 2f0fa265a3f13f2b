/* The type `Decoder`: built from a tree of fields, it decodes batches (decode.c). */
#include "decode.h"

static void clear_node(Node *node) {
    for (int i = 0; i < node->count; i++) {
        Py_XDECREF(node->fields[i].owner);
        if (node->fields[i].node) {
            clear_node(node->fields[i].node);
            PyMem_Free(node->fields[i].node);
        }
    }
    PyMem_Free(node->fields);
    PyMem_Free(node->guesses);
}

static void dealloc(Decoder *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    clear_node(&self->root);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_XDECREF(self->leaves[i].missing);
        for (int slot = 0; self->leaves[i].cache && slot < CACHED; slot++)
            Py_XDECREF(self->leaves[i].cache[slot].text);
        PyMem_Free(self->leaves[i].cache);
    }
    PyMem_Free(self->leaves);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Whether a column of its dtype holds the leaf's values, and its null. */
static int fits(const Leaf *leaf) {
    static const char KINDS[] = "nibs", *DTYPES[] = {"df", "dfbhiqBHIQ", "?O", "O"};
    if (!leaf->kind || !leaf->dtype) return 0; /* they would be found at the end of a string */
    const char *kind = strchr(KINDS, leaf->kind);
    if (!kind || !strchr(DTYPES[kind - KINDS], leaf->dtype)) return 0;
    if (leaf->is_id ? leaf->kind != 's' : !leaf->has_column) return 0;
    return !leaf->nullable || strchr("dfO", leaf->dtype) != NULL;
}

/* A leaf from (kind, dtype, nullable, is_id, has_column, least, largest, missing). */
static int read_leaf(PyObject *given, Leaf *leaf) {
    int kind, dtype;
    long long least, largest;
    if (!PyArg_ParseTuple(given, "CCpppLLO", &kind, &dtype, &leaf->nullable, &leaf->is_id,
                          &leaf->has_column, &least, &largest, &leaf->missing)) {
        leaf->missing = NULL;
        return -1;
    }
    Py_INCREF(leaf->missing);
    leaf->kind = (char)kind;
    leaf->dtype = (char)dtype;
    leaf->least = least;
    leaf->largest = largest;
    if (!fits(leaf)) {
        PyErr_SetString(PyExc_ValueError, "a leaf's column does not hold its kind");
        return -1;
    }
    leaf->cache = leaf->kind == 's' ? PyMem_Calloc(CACHED, sizeof(Cached)) : NULL;
    if (leaf->cache || leaf->kind != 's') return 0;
    PyErr_NoMemory();
    return -1;
}

/* A field from (name, leaf number or a tuple of fields, required). */
static int read_fields(Decoder *self, PyObject *given, Node *node);

static int read_field(Decoder *self, PyObject *given, Field *field) {
    PyObject *name, *target;
    char *text;
    if (!PyArg_ParseTuple(given, "SOp", &name, &target, &field->required)) return -1;
    if (PyBytes_AsStringAndSize(name, &text, &field->length) < 0) return -1;
    Py_INCREF(name);
    field->owner = name;
    field->name = text;
    self->required += field->required;
    if (PyTuple_Check(target)) {
        field->node = PyMem_Calloc(1, sizeof(Node));
        if (field->node) return read_fields(self, target, field->node);
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t number = PyLong_AsSsize_t(target);
    if (number == -1 && PyErr_Occurred()) return -1;
    if (number < 0 || number >= self->count) {
        PyErr_SetString(PyExc_ValueError, "a field names no leaf");
        return -1;
    }
    field->leaf = &self->leaves[number];
    return 0;
}

static int read_fields(Decoder *self, PyObject *given, Node *node) {
    Py_ssize_t count = PyTuple_Size(given);
    if (count < 0) return -1;
    int guesses = LEAST_GUESSES;
    while (guesses < 2 * count && guesses < MOST_GUESSES) guesses *= 2;
    node->fields = PyMem_Calloc((size_t)count + 1, sizeof(Field));
    node->guesses = PyMem_Calloc((size_t)guesses, sizeof(Guess));
    if (!node->fields || !node->guesses) {
        PyErr_NoMemory();
        return -1;
    }
    node->mask = guesses - 1;
    node->count = (int)count;
    for (Py_ssize_t i = 0; i < count; i++)
        if (read_field(self, PyTuple_GetItem(given, i), &node->fields[i]) < 0) return -1;
    return 0;
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *leaves, *fields;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &leaves, &PyTuple_Type, &fields))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Decoder *self = (Decoder *)allocate(type, 0);
    if (!self) return NULL;
    Py_ssize_t count = PyTuple_Size(leaves);
    self->leaves = PyMem_Calloc((size_t)count + 1, sizeof(Leaf));
    if (!self->leaves) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    for (; self->count < count; self->count++) {
        if (read_leaf(PyTuple_GetItem(leaves, self->count), &self->leaves[self->count]) < 0) {
            self->count++;
            Py_DECREF(self);
            return NULL;
        }
    }
    if (read_fields(self, fields, &self->root) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *decode_rows(Decoder *self, PyObject *values, PyObject *ids, Py_ssize_t rows) {
    PyObject *doubtful = PyList_New(0);
    Cursor cursor = {.ids = ids};
    for (; doubtful && cursor.row < rows; cursor.row++) {
        int taken = take_event(self, &cursor, PyList_GetItem(values, cursor.row));
        if (taken == TAKEN) continue;
        PyObject *row = taken == DOUBT ? PyLong_FromSsize_t(cursor.row) : NULL;
        if (!row || PyList_Append(doubtful, row) < 0) Py_CLEAR(doubtful);
        Py_XDECREF(row);
    }
    return doubtful;
}

/* decode(values, columns, ids): see _native.pyi. */
static PyObject *decode(Decoder *self, PyObject *args) {
    PyObject *values, *columns, *ids, *doubtful = NULL;
    if (!PyArg_ParseTuple(args, "O!O!O!", &PyList_Type, &values, &PyTuple_Type, &columns,
                          &PyList_Type, &ids))
        return NULL;
    Py_ssize_t rows = PyList_Size(values), leaf = 0, used = 0;
    if (PyList_Size(ids) != rows)
        return PyErr_Format(PyExc_ValueError, "there are %zd values and not as many ids", rows);
    for (; leaf < self->count; leaf++) {
        Leaf *each = &self->leaves[leaf];
        if (!each->has_column) continue;
        PyObject *column = PyTuple_GetItem(columns, used++);
        if (!column || get_array(column, &each->view, each->dtype, rows, 1) < 0) goto release;
    }
    doubtful = decode_rows(self, values, ids, rows);
release:
    while (leaf-- > 0)
        if (self->leaves[leaf].has_column) PyBuffer_Release(&self->leaves[leaf].view);
    return doubtful;
}

static PyMethodDef methods[] = {{"decode", (PyCFunction)(void (*)(void))decode, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, create},
                              {Py_tp_dealloc, dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Decodes events of one signature into columns."},
                              {0, NULL}};

PyType_Spec decoder_spec = {"model._native.Decoder", sizeof(Decoder), 0, Py_TPFLAGS_DEFAULT, slots};
