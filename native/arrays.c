/* Arrays of other libraries, through the buffer protocol. */
#include "native.h"

int get_array(PyObject *object, Py_buffer *view, Py_ssize_t items, Py_ssize_t size, int writable) {
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) < 0) return -1;
    if (view->itemsize != size || (items >= 0 && view->len != items * size)) {
        PyErr_Format(PyExc_ValueError, "an array of %zd items of %zd bytes is needed, not %zd of %zd",
                     items, size, view->len / view->itemsize, view->itemsize);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}
