/* Text of a column to numbers, as scikit-learn's OrdinalEncoder does it. */
#include "native.h"

typedef struct {
    PyObject *table;
    double missing, unknown;
} Codes;

/* Writes each text's number to every `width`-th place of `out`; -1 with an error. */
static int write_codes(const Codes *codes, const Py_buffer *column, double *out, Py_ssize_t width) {
    PyObject **texts = column->buf, *last = NULL; /* neighbours are often the same object */
    Py_ssize_t rows = column->len / column->itemsize;
    double number = codes->unknown;
    for (Py_ssize_t row = 0; row < rows; row++, out += width) {
        PyObject *text = texts[row] ? texts[row] : Py_None;
        if (text != last) {
            last = text;
            number = codes->missing;
            if (PyUnicode_Check(text)) {
                PyObject *found = PyDict_GetItemWithError(codes->table, text);
                number = found ? PyFloat_AsDouble(found) : codes->unknown;
                if (PyErr_Occurred()) return -1;
            }
        }
        *out = number;
    }
    return 0;
}

/* codes(column, table, missing, unknown, out, width, at): see _native.pyi. */
PyObject *codes(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *column, *out;
    Codes codes;
    Py_ssize_t width, at;
    Py_buffer texts, numbers;
    if (!PyArg_ParseTuple(args, "OO!ddOnn", &column, &PyDict_Type, &codes.table, &codes.missing,
                          &codes.unknown, &out, &width, &at))
        return NULL;
    if (width > MOST_COLUMNS || at < 0 || at >= width)
        return PyErr_Format(PyExc_ValueError, "there is no column %zd of %zd", at, width);
    if (get_array(column, &texts, 'O', -1, 0) < 0) return NULL;
    int written = get_array(out, &numbers, 'd', texts.len / texts.itemsize * width, 1);
    if (written == 0) {
        written = write_codes(&codes, &texts, (double *)numbers.buf + at, width);
        PyBuffer_Release(&numbers);
    }
    PyBuffer_Release(&texts);
    if (written < 0) return NULL;
    Py_RETURN_NONE;
}
