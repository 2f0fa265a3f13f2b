/* The type `Masks`: trees of at most 32 leaves, without walking them.
 *
 * A feature's value falls into a bin, and a bin rules out, in each tree, the leaves on the other
 * side of the nodes that ask for this feature. What no feature rules out is the one leaf that the
 * row reaches: an AND of one word per feature and tree, for all trees side by side. This is
 * QuickScorer (Lucchese et al., SIGIR 2015) with a table of all bins instead of a scan of the
 * thresholds. The leaves' values are summed in the order of the trees, as scikit-learn does. */
#include "native.h"

#define LEAVES 32
#define LANES 16 /* trees that are looked at side by side */
#define ROWS 4   /* rows whose sums go side by side: an addition takes four cycles */

typedef uint32_t Words __attribute__((vector_size(LANES * 4), aligned(4)));

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

typedef struct {
    Py_ssize_t column;
    const double *edges; /* ascending; NULL: the values are codes */
    Py_ssize_t bins;     /* without the last one, for missing values */
    Py_ssize_t first;    /* its first bin's row in the table */
    Py_buffer view;
} Feature;

typedef struct {
    PyObject_HEAD
    Feature *features;
    Py_ssize_t count, columns, trees, stride, outputs;
    Py_buffer table, values;
} Masks;

static void dealloc(Masks *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (Py_ssize_t i = 0; i < self->count; i++)
        if (self->features[i].edges) PyBuffer_Release(&self->features[i].view);
    PyMem_Free(self->features);
    if (self->table.obj) PyBuffer_Release(&self->table);
    if (self->values.obj) PyBuffer_Release(&self->values);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* A feature from (column, edges or the number of codes). */
static int read_feature(Masks *self, PyObject *given, Feature *feature, Py_ssize_t first) {
    PyObject *edges;
    if (!PyArg_ParseTuple(given, "nO", &feature->column, &edges)) return -1;
    feature->first = first;
    if (PyLong_Check(edges)) {
        feature->bins = PyLong_AsSsize_t(edges);
    } else {
        if (get_array(edges, &feature->view, 'd', -1, 0) < 0) return -1;
        feature->edges = feature->view.buf;
        feature->bins = feature->view.len / feature->view.itemsize + 1;
    }
    if (feature->column >= 0 && feature->column < self->columns && feature->bins > 0 &&
        feature->bins < INT32_MAX)
        return 0;
    PyErr_SetString(PyExc_ValueError, "this is no feature");
    return -1;
}

static int read_features(Masks *self, PyObject *given) {
    Py_ssize_t count = PyTuple_Size(given), bins = 0;
    self->features = PyMem_Calloc((size_t)count + 1, sizeof(Feature));
    if (!self->features) {
        PyErr_NoMemory();
        return -1;
    }
    for (; self->count < count; self->count++) {
        Feature *feature = &self->features[self->count];
        if (read_feature(self, PyTuple_GetItem(given, self->count), feature, bins) < 0) {
            self->count += feature->edges != NULL; /* so that it is released */
            return -1;
        }
        bins += feature->bins + 1;
    }
    Py_ssize_t words = self->table.len / self->table.itemsize;
    if (words % self->stride == 0 && words / self->stride == bins) return 0;
    PyErr_SetString(PyExc_ValueError, "the table does not fit the features");
    return -1;
}

/* Masks(features, table, values, columns, trees, outputs) */
static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *features, *table, *values;
    Py_ssize_t columns, trees, outputs;
    if (!PyArg_ParseTuple(args, "O!OOnnn", &PyTuple_Type, &features, &table, &values, &columns,
                          &trees, &outputs))
        return NULL;
    if (columns < 1 || columns > MOST_COLUMNS || outputs < 1 || outputs > MOST_COLUMNS ||
        trees < 1 || trees > INT32_MAX)
        return PyErr_Format(PyExc_ValueError,
                            "these are no trees: %zd for %zd outputs of %zd columns", trees,
                            outputs, columns);
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Masks *self = (Masks *)make(type, 0);
    if (!self) return NULL;
    self->columns = columns;
    self->trees = trees;
    self->stride = (trees + LANES - 1) / LANES * LANES;
    self->outputs = outputs;
    if (get_array(table, &self->table, 'I', -1, 0) == 0 &&
        get_array(values, &self->values, 'd', trees * LEAVES, 0) == 0 &&
        read_features(self, features) == 0)
        return (PyObject *)self;
    Py_DECREF(self); /* of a buffer that it did not get, `obj` is NULL */
    return NULL;
}

static inline Py_ssize_t bin_of(const Feature *feature, double x) {
    if (!feature->edges) return x >= 0 && x < (double)feature->bins ? (Py_ssize_t)x : feature->bins;
    if (x != x) return feature->bins;
    const double *base = feature->edges; /* how many edges are below x: a search without branches */
    Py_ssize_t left = feature->bins - 1;
    while (left > 1) {
        Py_ssize_t half = left / 2;
        base += (base[half - 1] < x) * half;
        left -= half;
    }
    return base - feature->edges + (left == 1 && *base < x);
}

/* The word of each tree that has the bit of the leaf which the row reaches, and no other. */
static inline void find_leaves(const Masks *self, const double *row, const uint32_t **bins,
                               uint32_t *leaves) {
    for (Py_ssize_t i = 0; i < self->count; i++) {
        const Feature *feature = &self->features[i];
        Py_ssize_t bin = feature->first + bin_of(feature, row[feature->column]);
        bins[i] = (const uint32_t *)self->table.buf + bin * self->stride;
    }
    for (Py_ssize_t tree = 0; tree < self->stride; tree += LANES) {
        Words words = ~(Words){0};
        for (Py_ssize_t i = 0; i < self->count; i++) words &= *(const Words *)(bins[i] + tree);
        memcpy(leaves + tree, &words, sizeof words);
    }
}

static inline double leaf_value(const double *values, const uint32_t *leaves, Py_ssize_t tree) {
    return values[tree * LEAVES + __builtin_ctz(leaves[tree] | 1u << 31)];
}

FOR_EACH_CPU static void add_rows(const Masks *self, const double *rows, Py_ssize_t count,
                                  double *out, const uint32_t **bins, uint32_t *leaves) {
    const double *values = self->values.buf;
    Py_ssize_t row = 0, stride = self->stride, trees = self->trees;
    for (; self->outputs == 1 && row + ROWS <= count; row += ROWS) {
        for (int lane = 0; lane < ROWS; lane++)
            find_leaves(self, rows + (row + lane) * self->columns, bins, leaves + lane * stride);
        double sums[ROWS];
        memcpy(sums, out + row, sizeof sums);
        for (Py_ssize_t tree = 0; tree < trees; tree++)
            for (int lane = 0; lane < ROWS; lane++)
                sums[lane] += leaf_value(values, leaves + lane * stride, tree);
        memcpy(out + row, sums, sizeof sums);
    }
    for (; row < count; row++) {
        find_leaves(self, rows + row * self->columns, bins, leaves);
        for (Py_ssize_t tree = 0; tree < trees; tree++)
            out[row * self->outputs + tree % self->outputs] += leaf_value(values, leaves, tree);
    }
}

/* add(rows, out): see _native.pyi. */
static PyObject *add(Masks *self, PyObject *args) {
    PyObject *rows, *out;
    Py_buffer matrix, sums;
    if (!PyArg_ParseTuple(args, "OO", &rows, &out)) return NULL;
    if (get_array(rows, &matrix, 'd', -1, 0) < 0) return NULL;
    Py_ssize_t count = matrix.len / (Py_ssize_t)sizeof(double) / self->columns;
    const uint32_t **bins = PyMem_Calloc((size_t)self->count + 1, sizeof *bins);
    uint32_t *leaves = PyMem_Calloc((size_t)(self->stride * ROWS), sizeof *leaves);
    if (!bins || !leaves) {
        PyErr_NoMemory();
    } else if (matrix.len != count * self->columns * (Py_ssize_t)sizeof(double)) {
        PyErr_SetString(PyExc_ValueError, "the rows have another number of features");
    } else if (get_array(out, &sums, 'd', count * self->outputs, 1) == 0) {
        add_rows(self, matrix.buf, count, sums.buf, bins, leaves);
        PyBuffer_Release(&sums);
    }
    PyMem_Free(bins);
    PyMem_Free(leaves);
    PyBuffer_Release(&matrix);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"add", (PyCFunction)(void (*)(void))add, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, create},
                              {Py_tp_dealloc, dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Trees of at most 32 leaves, without walking them."},
                              {0, NULL}};

PyType_Spec masks_spec = {"model._native.Masks", sizeof(Masks), 0, Py_TPFLAGS_DEFAULT, slots};
