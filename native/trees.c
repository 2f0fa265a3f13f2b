/* The type `Walker`: trees of any size, walked from the root to a leaf, one tree after the other.
 *
 * All rows walk a tree before the next one comes: its nodes stay in the nearest cache, the rows
 * stream by. Sums the leaves' values in the order of the trees, as scikit-learn does, so that the sums are
 * the same to the bit. A row is at `left` of a node where its value is at most the threshold; a
 * missing value (NaN) goes where the node says. */
#include "native.h"

#include <math.h>

#define LANES 8 /* rows that walk a tree side by side, so that their memory accesses overlap */

typedef struct {
    double threshold; /* of a leaf: infinite, so that a row stays there */
    uint32_t left;    /* the right child is the next node; of a leaf: itself */
    uint16_t feature;
    uint8_t missing_left;
    uint8_t is_leaf;
} Step; /* 16 bytes: four share a cache line */

typedef struct {
    PyObject_HEAD
    Step *steps;
    double *values; /* of the leaves, by step */
    uint32_t *roots;
    Py_ssize_t trees, nodes, width, outputs;
    int features;
} Walker;

static void dealloc(Walker *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyMem_Free(self->steps);
    PyMem_Free(self->values);
    PyMem_Free(self->roots);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

typedef struct {
    const int64_t *left, *right, *feature;
    const double *threshold;
    const uint8_t *missing_left;
    const double *values;
} Given; /* the trees as scikit-learn holds them, one behind the other, children by tree */

/* Whether a node that is no leaf asks for a feature there is, and leads on within its tree. */
static int is_sound(const Walker *self, const Given *given, uint32_t node, int64_t size) {
    int64_t right = given->right[node], feature = given->feature[node];
    return given->left[node] < size && right >= 0 && right < size && feature >= 0 &&
           feature < self->features;
}

/* Lays a tree's nodes out level by level, so that siblings are neighbours; 0 where it is none.
 * `places` is to say of each place which node it has. */
static int lay_out(Walker *self, Py_ssize_t tree, const Given *given, uint32_t *places,
                   uint32_t start, uint32_t stop) {
    uint32_t last = start + 1; /* behind the latest node that has its place */
    self->roots[tree] = start;
    places[start] = start;
    for (uint32_t at = start; at < last; at++) {
        uint32_t node = places[at];
        if (given->left[node] < 0) {
            self->steps[at] = (Step){HUGE_VAL, at, 0, 1, 1};
            memcpy(self->values + at * self->width, given->values + node * self->width,
                   (size_t)self->width * sizeof(double));
            continue;
        }
        if (last + 2 > stop || !is_sound(self, given, node, stop - start)) return 0;
        self->steps[at] = (Step){given->threshold[node], last, (uint16_t)given->feature[node],
                                 given->missing_left[node] != 0, 0};
        places[last++] = start + (uint32_t)given->left[node];
        places[last++] = start + (uint32_t)given->right[node];
    }
    return 1;
}

static int lay_out_all(Walker *self, const Given *given, uint32_t *places, const int64_t *sizes) {
    uint32_t start = 0;
    for (Py_ssize_t tree = 0; tree < self->trees; tree++) {
        if (sizes[tree] < 1 || sizes[tree] > self->nodes - start) return 0;
        if (!lay_out(self, tree, given, places, start, start + (uint32_t)sizes[tree])) return 0;
        start += (uint32_t)sizes[tree];
    }
    return start == self->nodes;
}

static int allocate(Walker *self) {
    size_t nodes = (size_t)self->nodes, trees = (size_t)self->trees;
    self->steps = PyMem_Calloc(nodes, sizeof(Step));
    self->values = PyMem_Calloc(nodes * (size_t)self->width, sizeof(double));
    self->roots = PyMem_Calloc(trees, sizeof(uint32_t));
    if (!self->steps || !self->values || !self->roots) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

enum { SIZES, LEFT, RIGHT, FEATURE, THRESHOLD, MISSING_LEFT, VALUES, ARRAYS };

static void release_arrays(Py_buffer *views, int count) {
    while (count-- > 0) PyBuffer_Release(&views[count]);
}

/* The arrays that trees come as: all of them, or none and an error. */
static int get_arrays(PyObject *const *arrays, Py_ssize_t width, Py_buffer *views) {
    static const char CODES[] = "qqqqdBd";
    Py_ssize_t nodes = -1;
    for (int at = 0; at < ARRAYS; at++) {
        Py_ssize_t items = at <= LEFT ? -1 : at == VALUES ? nodes * width : nodes;
        if (get_array(arrays[at], &views[at], CODES[at], items, 0) < 0) {
            release_arrays(views, at);
            return -1;
        }
        if (at == LEFT) nodes = views[LEFT].len / views[LEFT].itemsize;
    }
    return 0;
}

/* Fills in a walker that has its widths; -1 with an error. */
static int read_trees(Walker *self, const Py_buffer *views) {
    Given given = {views[LEFT].buf,      views[RIGHT].buf,        views[FEATURE].buf,
                   views[THRESHOLD].buf, views[MISSING_LEFT].buf, views[VALUES].buf};
    int sound = 0;
    self->trees = views[SIZES].len / views[SIZES].itemsize;
    self->nodes = views[LEFT].len / views[LEFT].itemsize;
    if (self->nodes < UINT32_MAX / 2) {
        uint32_t *places = PyMem_Calloc((size_t)self->nodes + 1, sizeof *places);
        if (!places) PyErr_NoMemory();
        if (!places || allocate(self) < 0) {
            PyMem_Free(places);
            return -1;
        }
        sound = lay_out_all(self, &given, places, views[SIZES].buf);
        PyMem_Free(places);
    }
    if (sound) return 0;
    PyErr_SetString(PyExc_ValueError, "these are no trees: their nodes lead astray");
    return -1;
}

/* Walker(sizes, left, right, feature, threshold, missing_left, values, width, outputs, features) */
static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *o[ARRAYS];
    Py_buffer views[ARRAYS];
    int width, outputs, features;
    if (!PyArg_ParseTuple(args, "OOOOOOOiii", &o[SIZES], &o[LEFT], &o[RIGHT], &o[FEATURE],
                          &o[THRESHOLD], &o[MISSING_LEFT], &o[VALUES], &width, &outputs, &features))
        return NULL;
    if (features < 1 || features > MOST_COLUMNS || outputs < 1 || outputs > MOST_COLUMNS ||
        (width != 1 && width != outputs))
        return PyErr_Format(PyExc_ValueError,
                            "these are no trees: %d values for %d outputs of %d columns", width,
                            outputs, features);
    if (get_arrays(o, width, views) < 0) return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Walker *self = (Walker *)make(type, 0);
    if (self) {
        self->width = width;
        self->outputs = outputs;
        self->features = features;
        if (read_trees(self, views) < 0) Py_CLEAR(self);
    }
    release_arrays(views, ARRAYS);
    return (PyObject *)self;
}

static inline uint32_t next(const Step *steps, uint32_t at, const double *row) {
    const Step *step = &steps[at];
    double x = row[step->feature];
    int left = (x <= step->threshold) | (step->missing_left & (x != x));
    /* A leaf leads to itself: neither infinity nor NaN moves a row from there. */
    return step->left + (uint32_t)!left;
}

static void walk_lanes(const Walker *self, Py_ssize_t tree, const double *rows, uint32_t *at) {
    const Step *steps = self->steps;
    for (int lane = 0; lane < LANES; lane++) at[lane] = self->roots[tree];
    int done;
    do {
        done = 1;
        for (int lane = 0; lane < LANES; lane++) {
            at[lane] = next(steps, at[lane], rows + lane * self->features);
            done &= steps[at[lane]].is_leaf;
        }
    } while (!done); /* each step leads away from the root: there are no circles */
}

static void add_leaf(const Walker *self, Py_ssize_t tree, uint32_t at, double *out) {
    const double *value = self->values + at * self->width;
    if (self->width == 1) {
        out[tree % self->outputs] += *value;
        return;
    }
    for (Py_ssize_t i = 0; i < self->width; i++) out[i] += value[i];
}

/* Walks one tree with these rows. */
static void walk(const Walker *self, Py_ssize_t tree, const double *rows, Py_ssize_t count,
                 double *out) {
    uint32_t at[LANES];
    Py_ssize_t row = 0;
    for (; row + LANES <= count; row += LANES) {
        walk_lanes(self, tree, rows + row * self->features, at);
        for (int lane = 0; lane < LANES; lane++)
            add_leaf(self, tree, at[lane], out + (row + lane) * self->outputs);
    }
    for (; row < count; row++) {
        uint32_t node = self->roots[tree];
        while (!self->steps[node].is_leaf)
            node = next(self->steps, node, rows + row * self->features);
        add_leaf(self, tree, node, out + row * self->outputs);
    }
}

/* add(rows, out): see _native.pyi. */
static PyObject *add(Walker *self, PyObject *args) {
    PyObject *rows, *out;
    Py_buffer matrix, sums;
    if (!PyArg_ParseTuple(args, "OO", &rows, &out)) return NULL;
    if (get_array(rows, &matrix, 'd', -1, 0) < 0) return NULL;
    Py_ssize_t count = matrix.len / (Py_ssize_t)sizeof(double) / self->features;
    if (matrix.len != count * self->features * (Py_ssize_t)sizeof(double)) {
        PyErr_SetString(PyExc_ValueError, "the rows have another number of features");
    } else if (get_array(out, &sums, 'd', count * self->outputs, 1) == 0) {
        for (Py_ssize_t tree = 0; tree < self->trees; tree++)
            walk(self, tree, matrix.buf, count, sums.buf);
        PyBuffer_Release(&sums);
    }
    PyBuffer_Release(&matrix);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"add", (PyCFunction)(void (*)(void))add, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, create},
                              {Py_tp_dealloc, dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Trees of any size, walked from the root to a leaf."},
                              {0, NULL}};

PyType_Spec walker_spec = {"model._native.Walker", sizeof(Walker), 0, Py_TPFLAGS_DEFAULT, slots};
