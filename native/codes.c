/* Text of a column to numbers, as scikit-learn's OrdinalEncoder does it. */
#include "native.h"

/* codes(column, table, missing, unknown, out, width, at): see _native.pyi. */
PyObject *codes(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *column, *table, *out;
    double missing, unknown;
    Py_ssize_t width, at;
    Py_buffer texts, numbers;
    if (!PyArg_ParseTuple(args, "OO!ddOnn", &column, &PyDict_Type, &table, &missing, &unknown, &out,
                          &width, &at))
        return NULL;
    if (get_array(column, &texts, -1, sizeof(PyObject *), 0) < 0) return NULL;
    Py_ssize_t rows = texts.len / (Py_ssize_t)sizeof(PyObject *);
    if (width < 1 || at < 0 || at >= width) {
        PyBuffer_Release(&texts);
        return PyErr_Format(PyExc_ValueError, "there is no column %zd of %zd", at, width);
    }
    if (get_array(out, &numbers, rows * width, sizeof(double), 1) < 0) {
        PyBuffer_Release(&texts);
        return NULL;
    }
    PyObject **text = texts.buf;
    double *number = (double *)numbers.buf + at;
    PyObject *last = NULL; /* neighbours are often the same object: one look-up for all */
    double value = unknown;
    int failed = 0;
    for (Py_ssize_t row = 0; row < rows && !failed; row++, number += width) {
        PyObject *each = text[row] ? text[row] : Py_None;
        if (each != last) {
            last = each;
            if (!PyUnicode_Check(each)) {
                value = missing;
            } else {
                PyObject *found = PyDict_GetItemWithError(table, each);
                value = found ? PyFloat_AsDouble(found) : unknown;
                failed = PyErr_Occurred() != NULL;
            }
        }
        *number = value;
    }
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&texts);
    if (failed) return NULL;
    Py_RETURN_NONE;
}
