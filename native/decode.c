/* Events' JSON text straight into columns: strict, and in doubt no.
 *
 * An event is taken only if its text is plain: valid JSON and UTF-8, every field that the model
 * needs there once and of its kind. Whatever is unusual (broken, escaped in a name, nested deeply,
 * out of range, of another kind) is left to the careful decoder in Python, which says why it is
 * refused or takes it after all. So a mistake here can only be to take too much: what is taken
 * must be what the careful decoder gives, and a property test holds the two together. */
#include "decode.h"

/* The field that a name stands for, NULL for one that is ignored; the name's end is passed.
 * Events of a topic are alike: the name at the same place of the event before is tried first. */
static int take_name(Cursor *cursor, Node *node, int place, Field **field) {
    Guess *guess = &node->guesses[place & node->mask];
    if (guess->length && cursor->end - cursor->at > guess->length &&
        memcmp(cursor->at, guess->name, (size_t)guess->length) == 0) {
        cursor->at += guess->length; /* with its closing quote */
        *field = guess->field;
        return TAKEN;
    }
    const unsigned char *start = cursor->at, *stop = plain_end(start, cursor->end);
    if (*stop != '"') return DOUBT; /* a name with escapes, too */
    Py_ssize_t length = stop - start;
    *field = NULL;
    for (int i = 0; i < node->count && !*field; i++)
        if (node->fields[i].length == length &&
            memcmp(node->fields[i].name, start, (size_t)length) == 0)
            *field = &node->fields[i];
    cursor->at = stop + 1;
    if (length < GUESS_BYTES) {
        memcpy(guess->name, start, (size_t)length + 1);
        guess->length = length + 1;
        guess->field = *field;
    }
    return TAKEN;
}

static int take_object(Cursor *cursor, Node *node, int depth);

static inline int take_field(Cursor *cursor, Field *field, int depth) {
    if (field->seen == cursor->mark) return DOUBT; /* named twice */
    field->seen = cursor->mark;
    cursor->found += field->required;
    if (field->node) return take_object(cursor, field->node, depth + 1);
    return take_leaf(cursor, field->leaf);
}

static int take_object(Cursor *cursor, Node *node, int depth) {
    if (depth > DEPTH) return DOUBT;
    skip_blanks(cursor);
    if (!take(cursor, '{')) return DOUBT;
    skip_blanks(cursor);
    if (*cursor->at == '}') return take(cursor, '}');
    for (int place = 0;; place++) {
        Field *field;
        if (!take(cursor, '"') || !take_name(cursor, node, place, &field)) return DOUBT;
        skip_blanks(cursor);
        if (!take(cursor, ':')) return DOUBT;
        skip_blanks(cursor);
        int taken = field ? take_field(cursor, field, depth) : skip_value(cursor, depth);
        if (taken != TAKEN) return taken;
        skip_blanks(cursor);
        if (*cursor->at == '}') return take(cursor, '}');
        if (!take(cursor, ',')) return DOUBT;
        skip_blanks(cursor);
    }
}

/* Whether bytes are UTF-8; -1 where memory ran out. */
static int is_utf8(const unsigned char *start, Py_ssize_t length) {
    const unsigned char *at = start, *end = start + length;
    uint64_t word, tops = 0;
    for (; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        tops |= word;
    }
    for (; at < end; at++) tops |= *at;
    /* The bytes of a short rest are gathered in the lowest place: so every place is looked at. */
    if (!(tops & 0x8080808080808080ULL)) return 1;
    PyObject *text = PyUnicode_DecodeUTF8((const char *)start, length, "strict");
    if (!text) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) return FAILED;
        PyErr_Clear();
        return 0;
    }
    Py_DECREF(text);
    return 1;
}

int take_event(Decoder *decoder, Cursor *cursor, PyObject *value) {
    char *start;
    Py_ssize_t length;
    if (!PyBytes_Check(value)) return DOUBT;
    if (PyBytes_AsStringAndSize(value, &start, &length) < 0) return FAILED;
    int valid = is_utf8((const unsigned char *)start, length);
    if (valid != 1) return valid;
    cursor->at = (const unsigned char *)start;
    cursor->end = cursor->at + length;
    cursor->mark = ++decoder->mark;
    cursor->found = 0;
    int taken = take_object(cursor, &decoder->root, 1);
    if (taken != TAKEN) return taken;
    skip_blanks(cursor);
    return cursor->at == cursor->end && cursor->found == decoder->required ? TAKEN : DOUBT;
}
