/* Arrays of other libraries, through the buffer protocol. */
#include "native.h"

static Py_ssize_t size_of(char code) {
    switch (code) {
    case '?': case 'b': case 'B': return 1;
    case 'h': case 'H': return 2;
    case 'i': case 'I': case 'f': return 4;
    default: return 8;
    }
}

/* Whether a buffer has items of this type: what is no object must not be read as one. */
static int is_of(const Py_buffer *view, char code) {
    const char *format = view->format;
    if (!format || !format[0] || format[1] || view->itemsize != size_of(code)) return 0;
    char given = format[0] == 'l' ? 'q' : format[0] == 'L' ? 'Q' : format[0]; /* of the same size */
    return given == code;
}

int get_array(PyObject *array, Py_buffer *view, char code, Py_ssize_t items, int writable) {
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array, view, flags) < 0) return -1;
    if (!is_of(view, code))
        PyErr_Format(PyExc_ValueError, "an array of the type %c is needed", code);
    else if (items >= 0 && view->len / view->itemsize != items)
        PyErr_Format(PyExc_ValueError, "an array of %zd items is needed, not of %zd", items,
                     view->len / view->itemsize);
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
}
