/* A value that a field asks for: read, checked as its kind, and set into its column. */
#include "decode.h"

#include <float.h>
#include <math.h>

static int store_integer(Leaf *leaf, Py_ssize_t row, int64_t value) {
    if (value < leaf->least || value > leaf->largest) return DOUBT;
    switch (leaf->dtype) {
    case 'd': ((double *)leaf->view.buf)[row] = (double)value; break;
    case 'f': ((float *)leaf->view.buf)[row] = (float)(double)value; break;
    case 'b': case 'B': ((uint8_t *)leaf->view.buf)[row] = (uint8_t)value; break;
    case 'h': case 'H': ((uint16_t *)leaf->view.buf)[row] = (uint16_t)value; break;
    case 'i': case 'I': ((uint32_t *)leaf->view.buf)[row] = (uint32_t)value; break;
    default: ((uint64_t *)leaf->view.buf)[row] = (uint64_t)value;
    }
    return TAKEN;
}

static int store_float(Leaf *leaf, Py_ssize_t row, double value) {
    if (leaf->dtype == 'd') {
        ((double *)leaf->view.buf)[row] = value;
        return TAKEN;
    }
    if (fabs(value) > FLT_MAX) return DOUBT;
    ((float *)leaf->view.buf)[row] = (float)value;
    return TAKEN;
}

static int take_number(Cursor *cursor, Leaf *leaf) {
    Number number;
    const unsigned char *start = cursor->at, *end = read_number(start, &number);
    if (!end || (number.negative && number.mantissa == 0 && !number.fraction)) return DOUBT;
    cursor->at = end;
    if (leaf->kind == 'i' && !number.fraction) {
        if (number.mantissa > INT64_MAX) return DOUBT;
        int64_t whole = (int64_t)number.mantissa;
        return store_integer(leaf, cursor->row, number.negative ? -whole : whole);
    }
    double value = number_value(&number, start, end);
    if (!isfinite(value)) return DOUBT;
    if (leaf->kind == 'n') return store_float(leaf, cursor->row, value);
    /* A whole float is an integer too. */
    if (value != floor(value) || fabs(value) >= 9007199254740992.0 || value == 0.0) return DOUBT;
    return store_integer(leaf, cursor->row, (int64_t)value);
}

static int take_boolean(Cursor *cursor, Leaf *leaf) {
    int yes = *cursor->at == 't';
    if (!(yes ? take_word(cursor, "true", 4) : take_word(cursor, "false", 5))) return DOUBT;
    if (leaf->dtype == 'O')
        set_object(leaf, cursor->row, yes ? Py_True : Py_False);
    else
        ((uint8_t *)leaf->view.buf)[cursor->row] = (uint8_t)yes;
    return TAKEN;
}

static int take_text(Cursor *cursor, Leaf *leaf) {
    unsigned char copy[COPY_BYTES];
    Span text;
    if (!take(cursor, '"') || !read_string(cursor, &text, copy)) return DOUBT;
    if (leaf->is_id) {
        if (text.length == 0 || memchr(text.start, 0, (size_t)text.length)) return DOUBT;
        PyObject *id = new_text(text);
        if (!id) return FAILED;
        if (leaf->has_column) set_object(leaf, cursor->row, id);
        return PyList_SetItem(cursor->ids, cursor->row, id) < 0 ? FAILED : TAKEN;
    }
    PyObject *value = cached_text(leaf, text);
    if (!value) return FAILED;
    set_object(leaf, cursor->row, value);
    return TAKEN;
}

static int take_null(Cursor *cursor, Leaf *leaf) {
    if (!leaf->nullable || !take_word(cursor, "null", 4)) return DOUBT;
    if (!leaf->has_column) return TAKEN; /* an id that is not there */
    if (leaf->dtype == 'O') {
        set_object(leaf, cursor->row, leaf->missing);
        return TAKEN;
    }
    return store_float(leaf, cursor->row, NAN);
}

int take_leaf(Cursor *cursor, Leaf *leaf) {
    if (*cursor->at == 'n') return take_null(cursor, leaf);
    switch (leaf->kind) {
    case 's': return take_text(cursor, leaf);
    case 'b': return take_boolean(cursor, leaf);
    default: return take_number(cursor, leaf);
    }
}
