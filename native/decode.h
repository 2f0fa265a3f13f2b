/* The decoder's parts: its fields as a tree, and where it stands in an event. */
#ifndef STREAMSCORE_DECODE_H
#define STREAMSCORE_DECODE_H

#include "native.h"

enum { FAILED = -1, DOUBT = 0, TAKEN = 1 }; /* FAILED: a Python error is set */

#define COPY_BYTES 1024 /* the longest text with escapes that is read here */
#define DEPTH 32        /* how deep ignored fields may nest here */
#define GUESSES 64      /* places of an object whose names are remembered; a power of two */
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
    Guess guesses[GUESSES];
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

/* Reads one event into the columns' row; DOUBT leaves the row's values undefined. */
int take_event(Decoder *decoder, Cursor *cursor, PyObject *value);

/* text.c */
PyObject *new_text(Span text);                  /* a new reference */
PyObject *cached_text(Leaf *leaf, Span text);   /* borrowed from the cache, until the next call */
void set_object(Leaf *leaf, Py_ssize_t row, PyObject *value);

#endif
