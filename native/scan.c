/* JSON text, value by value: words, strings, numbers, and whatever no field asks for. */
#include "decode.h"

int take_word(Cursor *cursor, const char *word, size_t length) {
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return DOUBT;
    cursor->at += length;
    return TAKEN;
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

/* A character of the basic plane as UTF-8; gives how many bytes it has. */
static int encode(unsigned code, unsigned char *out) {
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    int length = code < 0x800 ? 2 : 3;
    if (length == 3) *out++ = (unsigned char)(0xE0 | code >> 12);
    *out++ = (unsigned char)(length == 3 ? 0x80 | (code >> 6 & 63) : 0xC0 | code >> 6);
    *out = (unsigned char)(0x80 | (code & 63));
    return length;
}

/* The bytes of an escaped character, from behind its backslash; surrogates are doubtful. */
static int unescape(Cursor *cursor, unsigned char *out, int *length) {
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    if (*cursor->at == 'u') {
        unsigned code;
        if (cursor->end - cursor->at < 5 || !hex_digits(cursor->at + 1, &code)) return DOUBT;
        if (code >= 0xD800 && code < 0xE000) return DOUBT;
        cursor->at += 5;
        *length = encode(code, out);
        return TAKEN;
    }
    const char *found = *cursor->at ? strchr(FROM, *cursor->at) : NULL;
    if (!found) return DOUBT;
    out[0] = (unsigned char)TO[found - FROM];
    *length = 1;
    cursor->at++;
    return TAKEN;
}

int read_string(Cursor *cursor, Span *text, unsigned char *copy) {
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

int skip_value(Cursor *cursor, int depth) {
    Span ignored;
    switch (*cursor->at) {
    case '"': cursor->at++; return read_string(cursor, &ignored, NULL);
    case '{': cursor->at++; return skip_members(cursor, '}', depth);
    case '[': cursor->at++; return skip_members(cursor, ']', depth);
    case 't': return take_word(cursor, "true", 4);
    case 'f': return take_word(cursor, "false", 5);
    case 'n': return take_word(cursor, "null", 4);
    default: return skip_number(cursor);
    }
}
