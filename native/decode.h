/* The decoder's parts: its fields as a tree, and where it stands in an event. */
#ifndef STREAMSCORE_DECODE_H
#define STREAMSCORE_DECODE_H

#include "native.h"

enum { FAILED = -1, DOUBT = 0, TAKEN = 1 }; /* FAILED: a Python error is set */

#define COPY_BYTES 1024 /* the longest text with escapes that is read here */
#define DEPTH 32        /* how deep an event may nest here */
#define LEAST_GUESSES 64  /* names of an object that are remembered by their place: at least */
#define MOST_GUESSES 4096 /* and at most; both powers of two */
#define GUESS_BYTES 48  /* the longest such name, with its quote */
#define CACHED 512      /* texts of a feature that are kept; a power of two */
#define CACHED_BYTES 64 /* the longest of them */

typedef struct {
    const unsigned char *start;
    Py_ssize_t length;
} Span;

typedef struct {
    PyObject *text; /* owned */
    const char *utf8;
    Py_ssize_t length;
} Cached;

/* A value that is read: a feature, the event's id, or both. */
typedef struct {
    char kind;  /* n: number, i: integer, b: boolean, s: text */
    char dtype; /* the column's, as numpy's character codes */
    int nullable, is_id, has_column;
    int64_t least, largest; /* of an integer */
    PyObject *missing;      /* owned: what stands for null in a column of objects */
    Py_buffer view;         /* the column, while a batch is decoded */
    Cached *cache;
} Leaf;

typedef struct Node Node;

typedef struct {
    PyObject *owner; /* the bytes of the name */
    const char *name;
    Py_ssize_t length;
    Leaf *leaf; /* or */
    Node *node;
    int required;
    uint64_t seen; /* the mark of the latest event that had it */
} Field;

typedef struct {
    unsigned char name[GUESS_BYTES];
    Py_ssize_t length; /* 0: none yet */
    Field *field;
} Guess;

struct Node {
    Field *fields;
    int count;
    Guess *guesses; /* twice as many as fields, or more: events have others, too */
    int mask;       /* their number, less one */
};

typedef struct {
    PyObject_HEAD
    Node root;
    Leaf *leaves;
    Py_ssize_t count;
    int required;  /* fields that every event has */
    uint64_t mark; /* of the latest event */
} Decoder;

typedef struct {
    const unsigned char *at, *end; /* a NUL stands at the end */
    Py_ssize_t row;
    PyObject *ids;
    uint64_t mark;
    int found;
} Cursor;

/* decode.c: reads one event into the columns' row; DOUBT leaves the row's values undefined. */
int take_event(Decoder *decoder, Cursor *cursor, PyObject *value);

/* leaf.c: reads a value into its column, as its kind and no other. */
int take_leaf(Cursor *cursor, Leaf *leaf);

/* text.c */
PyObject *new_text(Span text);                /* a new reference */
PyObject *cached_text(Leaf *leaf, Span text); /* borrowed from the cache, until the next call */
void set_object(Leaf *leaf, Py_ssize_t row, PyObject *value);

/* scan.c: each passes what it reads. */
int take_word(Cursor *cursor, const char *word, size_t length);

/* A string, from behind its opening quote to behind its closing one. Its text stays where it is,
 * or comes from `copy`, where it has escapes; `copy` may be NULL where the text is of no use. */
int read_string(Cursor *cursor, Span *text, unsigned char *copy);

/* Any value, checked as strictly as one that is read. */
int skip_value(Cursor *cursor, int depth);

static inline void skip_blanks(Cursor *cursor) {
    while (*cursor->at == ' ' || *cursor->at == '\n' || *cursor->at == '\r' || *cursor->at == '\t')
        cursor->at++;
}

static inline int take(Cursor *cursor, unsigned char expected) {
    if (*cursor->at != expected) return DOUBT;
    cursor->at++;
    return TAKEN;
}

/* Of eight bytes, those that end a run of plain text: quotes, backslashes, control characters. */
static inline uint64_t special(uint64_t word) {
    const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
    uint64_t below = (word - ones * 0x20) & ~word;
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | below) & tops;
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

#endif
