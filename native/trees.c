/* The type `Walker`: trees of any size, walked from the root to a leaf, in blocks of rows.
 *
 * Sums the leaves' values in the order of the trees, as scikit-learn does, so that the sums are
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
} Step;

typedef struct {
    PyObject_HEAD
    Step *steps;
    uint32_t *leaves; /* by step: the leaf's row in `values` */
    double *values;
    uint32_t *roots;
    uint32_t *depths;
    Py_ssize_t trees, nodes, width, outputs;
    int features;
} Walker;

static void dealloc(Walker *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyMem_Free(self->steps);
    PyMem_Free(self->leaves);
    PyMem_Free(self->values);
    PyMem_Free(self->roots);
    PyMem_Free(self->depths);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

typedef struct {
    const int64_t *left, *right, *feature;
    const double *threshold;
    const uint8_t *missing_left;
} Given; /* the trees as scikit-learn holds them, one behind the other, children by tree */

/* Lays a tree's nodes out level by level, so that siblings are neighbours; 0 where it is none. */
static int lay_out(Walker *self, Py_ssize_t tree, const Given *given, uint32_t start, uint32_t stop) {
    uint32_t last = start + 1; /* behind the latest node that has its place */
    uint32_t level_end = last, depth = 0;
    self->roots[tree] = start;
    self->leaves[start] = start;
    for (uint32_t at = start; at < last; at++) {
        if (at == level_end) {
            depth++;
            level_end = last;
        }
        uint32_t node = self->leaves[at];
        Step *step = &self->steps[at];
        if (given->left[node] < 0) {
            *step = (Step){.threshold = HUGE_VAL, .left = at, .missing_left = 1, .is_leaf = 1};
            continue;
        }
        int64_t size = stop - start, left = given->left[node], right = given->right[node];
        int64_t feature = given->feature[node];
        if (last + 2 > stop || left >= size || right < 0 || right >= size || feature < 0 ||
            feature >= self->features)
            return 0;
        *step = (Step){given->threshold[node], last, (uint16_t)feature, given->missing_left[node], 0};
        self->leaves[last++] = start + (uint32_t)left;
        self->leaves[last++] = start + (uint32_t)right;
    }
    self->depths[tree] = depth;
    return 1;
}

static int lay_out_all(Walker *self, const Given *given, const int64_t *sizes) {
    uint32_t start = 0;
    for (Py_ssize_t tree = 0; tree < self->trees; tree++) {
        if (sizes[tree] < 1 || sizes[tree] > self->nodes - start) return 0;
        if (!lay_out(self, tree, given, start, start + (uint32_t)sizes[tree])) return 0;
        start += (uint32_t)sizes[tree];
    }
    return start == self->nodes;
}

static int allocate(Walker *self, const double *values) {
    size_t nodes = (size_t)self->nodes, trees = (size_t)self->trees;
    self->steps = PyMem_Calloc(nodes, sizeof(Step));
    self->leaves = PyMem_Calloc(nodes, sizeof(uint32_t));
    self->values = PyMem_Calloc(nodes * (size_t)self->width, sizeof(double));
    self->roots = PyMem_Calloc(trees, sizeof(uint32_t));
    self->depths = PyMem_Calloc(trees, sizeof(uint32_t));
    if (!self->steps || !self->leaves || !self->values || !self->roots || !self->depths) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(self->values, values, nodes * (size_t)self->width * sizeof(double));
    return 0;
}

/* Walker(sizes, left, right, feature, threshold, missing_left, values, width, outputs, features) */
static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *objects[7];
    Py_ssize_t width, outputs;
    int features;
    if (!PyArg_ParseTuple(args, "OOOOOOOnni", &objects[0], &objects[1], &objects[2], &objects[3],
                          &objects[4], &objects[5], &objects[6], &width, &outputs, &features))
        return NULL;
    Py_buffer views[7];
    int taken = 0;
    Walker *self = NULL;
    Py_ssize_t nodes = -1;
    for (; taken < 7; taken++) {
        Py_ssize_t size = taken == 5 ? 1 : 8;
        Py_ssize_t items = taken == 6 ? nodes * width : taken < 2 ? -1 : nodes;
        if (get_array(objects[taken], &views[taken], items, size, 0) < 0) goto release;
        if (taken == 1) nodes = views[1].len / 8;
    }
    if (width < 1 || outputs < width || features < 1 || features > UINT16_MAX || nodes < 1 ||
        nodes > UINT32_MAX / 2 || (width != 1 && width != outputs)) {
        PyErr_SetString(PyExc_ValueError, "these are no trees");
        goto release;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    self = (Walker *)make(type, 0);
    if (!self) goto release;
    self->trees = views[0].len / 8;
    self->nodes = nodes;
    self->width = width;
    self->outputs = outputs;
    self->features = features;
    Given given = {views[1].buf, views[2].buf, views[3].buf, views[4].buf, views[5].buf};
    if (allocate(self, views[6].buf) < 0) {
        Py_CLEAR(self);
    } else if (!lay_out_all(self, &given, views[0].buf)) {
        PyErr_SetString(PyExc_ValueError, "these are no trees: their nodes lead astray");
        Py_CLEAR(self);
    }
release:
    while (taken-- > 0) PyBuffer_Release(&views[taken]);
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
    for (uint32_t level = 0; level < self->depths[tree]; level++) {
        int done = 1;
        for (int lane = 0; lane < LANES; lane++) {
            at[lane] = next(steps, at[lane], rows + lane * self->features);
            done &= steps[at[lane]].is_leaf;
        }
        if (done) return;
    }
}

static void add_leaf(const Walker *self, Py_ssize_t tree, uint32_t at, double *out) {
    const double *value = self->values + (Py_ssize_t)self->leaves[at] * self->width;
    if (self->width == 1) {
        out[tree % self->outputs] += *value;
        return;
    }
    for (Py_ssize_t i = 0; i < self->width; i++) out[i] += value[i];
}

static void walk(const Walker *self, const double *rows, Py_ssize_t count, double *out) {
    Py_ssize_t row = 0;
    uint32_t at[LANES];
    for (; row + LANES <= count; row += LANES)
        for (Py_ssize_t tree = 0; tree < self->trees; tree++) {
            walk_lanes(self, tree, rows + row * self->features, at);
            for (int lane = 0; lane < LANES; lane++)
                add_leaf(self, tree, at[lane], out + (row + lane) * self->outputs);
        }
    for (; row < count; row++)
        for (Py_ssize_t tree = 0; tree < self->trees; tree++) {
            uint32_t node = self->roots[tree];
            while (!self->steps[node].is_leaf)
                node = next(self->steps, node, rows + row * self->features);
            add_leaf(self, tree, node, out + row * self->outputs);
        }
}

#define BLOCK 64 /* rows for which all trees are walked before the next ones come */

static void walk_blocks(const Walker *self, const double *rows, Py_ssize_t count, double *out) {
    uint32_t at[LANES];
    for (Py_ssize_t block = 0; block + BLOCK <= count; block += BLOCK)
        for (Py_ssize_t tree = 0; tree < self->trees; tree++)
            for (Py_ssize_t row = block; row < block + BLOCK; row += LANES) {
                walk_lanes(self, tree, rows + row * self->features, at);
                for (int lane = 0; lane < LANES; lane++)
                    add_leaf(self, tree, at[lane], out + (row + lane) * self->outputs);
            }
    Py_ssize_t done = count / BLOCK * BLOCK;
    walk(self, rows + done * self->features, count - done, out + done * self->outputs);
}

/* add(rows, out): see _native.pyi. */
static PyObject *add(Walker *self, PyObject *args) {
    PyObject *rows, *out;
    Py_buffer matrix, sums;
    if (!PyArg_ParseTuple(args, "OO", &rows, &out)) return NULL;
    if (get_array(rows, &matrix, -1, sizeof(double), 0) < 0) return NULL;
    Py_ssize_t count = matrix.len / (Py_ssize_t)sizeof(double) / self->features;
    if (matrix.len != count * self->features * (Py_ssize_t)sizeof(double)) {
        PyErr_SetString(PyExc_ValueError, "the rows have another number of features");
    } else if (get_array(out, &sums, count * self->outputs, sizeof(double), 1) == 0) {
        walk_blocks(self, matrix.buf, count, sums.buf);
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
