/* Events' JSON text straight into columns: strict, and in doubt no.
 *
 * An event is taken only if its text is plain: valid JSON and UTF-8, every field that the model
 * needs there once and of its kind. Whatever is unusual (broken, escaped in a name, nested deeply,
 * out of range, of another kind) is left to the careful decoder in Python, which says why it is
 * refused or takes it after all. So a mistake here can only be to take too much: what is taken
 * must be what the careful decoder gives, and a property test holds the two together. */
#include "decode.h"

#include <float.h>
#include <math.h>

/* A value of JSON text, skipped; it is checked as strictly as one that is read. */
static int skip_value(Cursor *cursor, int depth);

static inline void skip_blanks(Cursor *cursor) {
    while (*cursor->at == ' ' || *cursor->at == '\n' || *cursor->at == '\r' || *cursor->at == '\t')
        cursor->at++;
}

static inline int take(Cursor *cursor, unsigned char expected) {
    if (*cursor->at != expected) return DOUBT;
    cursor->at++;
    return TAKEN;
}

static int take_word(Cursor *cursor, const char *word, size_t length) {
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return DOUBT;
    cursor->at += length;
    return TAKEN;
}

/* Of eight bytes, those that end a run of plain text: quotes, backslashes, control characters. */
static inline uint64_t special(uint64_t word) {
    const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
    return ((((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word)) &
            tops);
}

/* From behind an opening quote to the next byte that is not plain text. */
static inline const unsigned char *plain_end(const unsigned char *at, const unsigned char *end) {
    uint64_t word, found;
    for (; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        found = special(word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (found) return at + (__builtin_ctzll(found) >> 3);
#else
        if (found) break;
#endif
    }
    while (*at >= 0x20 && *at != '"' && *at != '\\') at++; /* a NUL stands behind the text */
    return at;
}

static int hex_digits(const unsigned char *at, unsigned *value) {
    *value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = at[i] | 0x20;
        if (c >= '0' && c <= '9' && at[i] == c) *value = *value * 16 + (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f') *value = *value * 16 + (unsigned)(c - 'a' + 10);
        else return DOUBT;
    }
    return TAKEN;
}

/* The bytes of an escaped character, at `at` behind its backslash; surrogates are doubtful. */
static int unescape(Cursor *cursor, unsigned char *out, int *length) {
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    unsigned code;
    if (*cursor->at == 'u') {
        if (cursor->end - cursor->at < 5 || !hex_digits(cursor->at + 1, &code)) return DOUBT;
        if (code >= 0xD800 && code < 0xE000) return DOUBT;
        cursor->at += 5;
        if (code < 0x80) {
            out[0] = (unsigned char)code;
            *length = 1;
        } else if (code < 0x800) {
            out[0] = (unsigned char)(0xC0 | code >> 6);
            out[1] = (unsigned char)(0x80 | (code & 63));
            *length = 2;
        } else {
            out[0] = (unsigned char)(0xE0 | code >> 12);
            out[1] = (unsigned char)(0x80 | (code >> 6 & 63));
            out[2] = (unsigned char)(0x80 | (code & 63));
            *length = 3;
        }
        return TAKEN;
    }
    const char *found = *cursor->at ? strchr(FROM, *cursor->at) : NULL;
    if (!found) return DOUBT;
    out[0] = (unsigned char)TO[found - FROM];
    *length = 1;
    cursor->at++;
    return TAKEN;
}

/* A string, from behind its opening quote to behind its closing one. Its text stays where it is,
 * or comes from `copy`, where it has escapes; `copy` may be NULL where the text is of no use. */
static int read_string(Cursor *cursor, Span *text, unsigned char *copy) {
    const unsigned char *start = cursor->at;
    Py_ssize_t copied = 0;
    int escapes = 0;
    for (;;) {
        const unsigned char *from = cursor->at, *stop = plain_end(from, cursor->end);
        if (*stop != '"' && *stop != '\\') return DOUBT;
        escapes |= *stop == '\\';
        if (copy && escapes) {
            /* Room for the plain text and for one character more. */
            if (copied + (stop - from) + 4 > COPY_BYTES) return DOUBT;
            memcpy(copy + copied, from, (size_t)(stop - from));
            copied += stop - from;
        }
        cursor->at = stop + 1;
        if (*stop == '"') {
            text->start = copy && escapes ? copy : start;
            text->length = copy && escapes ? copied : stop - start;
            return TAKEN;
        }
        unsigned char bytes[4];
        int width = 0;
        if (!unescape(cursor, bytes, &width)) return DOUBT;
        if (copy) {
            memcpy(copy + copied, bytes, (size_t)width);
            copied += width;
        }
    }
}

static int skip_number(Cursor *cursor) {
    Number number;
    const unsigned char *end = read_number(cursor->at, &number);
    /* What no double holds is refused even where no feature is: the careful decoder's business. */
    if (!end || number.exponent > 250 || number.exponent < -250) return DOUBT;
    cursor->at = end;
    return TAKEN;
}

static int skip_members(Cursor *cursor, unsigned char close, int depth) {
    Span name;
    if (depth >= DEPTH) return DOUBT;
    skip_blanks(cursor);
    if (*cursor->at == close) return take(cursor, close);
    for (;;) {
        if (close == '}') {
            if (!take(cursor, '"') || !read_string(cursor, &name, NULL)) return DOUBT;
            skip_blanks(cursor);
            if (!take(cursor, ':')) return DOUBT;
            skip_blanks(cursor);
        }
        if (!skip_value(cursor, depth + 1)) return DOUBT;
        skip_blanks(cursor);
        if (*cursor->at == close) return take(cursor, close);
        if (!take(cursor, ',')) return DOUBT;
        skip_blanks(cursor);
    }
}

static int skip_value(Cursor *cursor, int depth) {
    Span text;
    switch (*cursor->at) {
    case '"': cursor->at++; return read_string(cursor, &text, NULL);
    case '{': cursor->at++; return skip_members(cursor, '}', depth);
    case '[': cursor->at++; return skip_members(cursor, ']', depth);
    case 't': return take_word(cursor, "true", 4);
    case 'f': return take_word(cursor, "false", 5);
    case 'n': return take_word(cursor, "null", 4);
    default: return skip_number(cursor);
    }
}

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

static int take_leaf(Cursor *cursor, Leaf *leaf) {
    if (*cursor->at == 'n') return take_null(cursor, leaf);
    switch (leaf->kind) {
    case 's': return take_text(cursor, leaf);
    case 'b': return take_boolean(cursor, leaf);
    default: return take_number(cursor, leaf);
    }
}

/* The field that a name stands for, NULL for one that is ignored; the name's end is passed.
 * Events of a topic are alike: the name at the same place of the event before is tried first. */
static int take_name(Cursor *cursor, Node *node, int place, Field **field) {
    Guess *guess = &node->guesses[place & (GUESSES - 1)];
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
        if (node->fields[i].length == length && !memcmp(node->fields[i].name, start, (size_t)length))
            *field = &node->fields[i];
    cursor->at = stop + 1;
    if (length < GUESS_BYTES) {
        memcpy(guess->name, start, (size_t)length + 1);
        guess->length = length + 1;
        guess->field = *field;
    }
    return TAKEN;
}

static int take_object(Cursor *cursor, Node *node) {
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
        int taken;
        if (!field) {
            taken = skip_value(cursor, 0);
        } else {
            if (field->seen == cursor->mark) return DOUBT; /* named twice */
            field->seen = cursor->mark;
            cursor->found += field->required;
            taken = field->node ? take_object(cursor, field->node) : take_leaf(cursor, field->leaf);
        }
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
    int taken = take_object(cursor, &decoder->root);
    if (taken != TAKEN) return taken;
    skip_blanks(cursor);
    return cursor->at == cursor->end && cursor->found == decoder->required ? TAKEN : DOUBT;
}
