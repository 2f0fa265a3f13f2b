/* Texts of events as Python's: categories repeat, so the latest are kept. */
#include "decode.h"

PyObject *new_text(Span text) {
    return PyUnicode_DecodeUTF8((const char *)text.start, text.length, "strict");
}

static size_t slot_of(Span text) {
    uint64_t hash = (uint64_t)text.length * 0x9E3779B97F4A7C15ULL, word;
    const unsigned char *at = text.start;
    Py_ssize_t left = text.length;
    for (; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0xC2B2AE3D27D4EB4FULL;
        hash ^= hash >> 29;
    }
    for (word = 0; left > 0; left--) word = word << 8 | *at++;
    hash = (hash ^ word) * 0xC2B2AE3D27D4EB4FULL;
    return (size_t)(hash >> 40) & (CACHED - 1);
}

PyObject *cached_text(Leaf *leaf, Span text) {
    Cached *slot = &leaf->cache[text.length <= CACHED_BYTES ? slot_of(text) : 0];
    if (slot->text && slot->length == text.length &&
        memcmp(slot->utf8, text.start, (size_t)text.length) == 0)
        return slot->text;
    PyObject *fresh = new_text(text);
    if (!fresh) return NULL;
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(fresh, &length);
    if (!utf8) {
        Py_DECREF(fresh);
        return NULL;
    }
    Py_XDECREF(slot->text);
    slot->text = fresh;
    slot->utf8 = utf8;
    slot->length = length;
    return fresh;
}

void set_object(Leaf *leaf, Py_ssize_t row, PyObject *value) {
    PyObject **slot = (PyObject **)leaf->view.buf + row, *old = *slot;
    Py_INCREF(value);
    *slot = value;
    Py_XDECREF(old);
}
