/* What the parts of the extension `model._native` share.
 *
 * Arrays come as buffers, so that numpy is not needed to build it. */
#ifndef STREAMSCORE_NATIVE_H
#define STREAMSCORE_NATIVE_H

#include <string.h>

#include "python_abi.h"

extern PyType_Spec decoder_spec; /* decoder.c */
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

/* The nearest double to the number that stands at `text`; not finite where it is too large, or
 * where nothing here converts it. */
double number_value(const Number *number, const unsigned char *text, const unsigned char *end);

/* arrays.c: an array's C-contiguous buffer, of numpy's type `code` (one of ?bBhHiIqQfdO) and of so
 * many items, or of any number where that is -1; -1 with an error otherwise. */
int get_array(PyObject *array, Py_buffer *view, char code, Py_ssize_t items, int writable);
#define MOST_COLUMNS UINT16_MAX /* of a matrix */

#endif
