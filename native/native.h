/* What the parts of the extension `model._native` share.
 *
 * Arrays come as buffers, so that numpy is not needed to build it. */
#ifndef STREAMSCORE_NATIVE_H
#define STREAMSCORE_NATIVE_H

#include <string.h>

#include "python_abi.h"

extern PyType_Spec decoder_spec; /* decode.c */
extern PyType_Spec walker_spec;  /* trees.c */
extern PyType_Spec masks_spec;   /* masks.c */

PyObject *render(PyObject *module, PyObject *args); /* render.c */
PyObject *codes(PyObject *module, PyObject *args);  /* codes.c */

/* number.c: a number of JSON text. */
typedef struct {
    int negative;
    int fraction;      /* it has a point or an exponent */
    uint64_t mantissa; /* up to 19 digits, the point left out */
    int exponent;      /* of ten */
} Number;

/* Reads a number's text; gives where it ends, NULL where it is none or has more digits. */
const unsigned char *read_number(const unsigned char *text, Number *number);

/* The nearest double to a number that stands at `text`; not finite where it is too large. */
double number_value(const Number *number, const unsigned char *text, const unsigned char *end);

/* arrays.c: a C-contiguous buffer of `items` items of `size` bytes; -1 with ValueError otherwise. */
int get_array(PyObject *object, Py_buffer *view, Py_ssize_t items, Py_ssize_t size, int writable);

#endif
