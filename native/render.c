/* Rows of JSON text from segments: what all rows share, and what differs from row to row. */
#include "native.h"

enum Kind { CONSTANT, VALUES, NUMBERS };

typedef struct {
    enum Kind kind;
    const char *text; /* CONSTANT */
    Py_ssize_t length;
    PyObject *values; /* VALUES: a list with a str, bytes or int a row */
    Py_ssize_t stream; /* NUMBERS: which stream gives the next number */
} Segment;

typedef struct {
    const char *at, *end;
} Stream; /* the text of a JSON array of numbers, its brackets left out */

typedef struct {
    char *start;
    Py_ssize_t length, room;
} Text;

static int reserve(Text *text, Py_ssize_t more) {
    if (text->room - text->length >= more) return 0;
    Py_ssize_t room = 2 * text->room + more;
    char *grown = PyMem_Realloc(text->start, (size_t)room);
    if (!grown) {
        PyErr_NoMemory();
        return -1;
    }
    text->start = grown;
    text->room = room;
    return 0;
}

static int append(Text *text, const char *bytes, Py_ssize_t length) {
    if (reserve(text, length) < 0) return -1;
    memcpy(text->start + text->length, bytes, (size_t)length);
    text->length += length;
    return 0;
}

/* Escapes a character that no JSON string has as it is; gives where that ends. */
static char *escape(char *out, unsigned char c) {
    static const char HEX[] = "0123456789abcdef";
    *out++ = '\\';
    switch (c) {
    case '"': case '\\': *out++ = (char)c; break;
    case '\b': *out++ = 'b'; break;
    case '\t': *out++ = 't'; break;
    case '\n': *out++ = 'n'; break;
    case '\f': *out++ = 'f'; break;
    case '\r': *out++ = 'r'; break;
    default:
        memcpy(out, "u00", 3);
        out[3] = HEX[c >> 4];
        out[4] = HEX[c & 15];
        out += 5;
    }
    return out;
}

/* A JSON string, escaped as orjson does it: what must be, and no more. */
static int append_string(Text *text, PyObject *value) {
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(value, &length);
    if (!utf8 || reserve(text, 6 * length + 2) < 0) return -1;
    char *out = text->start + text->length;
    *out++ = '"';
    for (Py_ssize_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)utf8[i];
        if (c >= 0x20 && c != '"' && c != '\\') *out++ = (char)c;
        else out = escape(out, c);
    }
    *out++ = '"';
    text->length = out - text->start;
    return 0;
}

static int append_integer(Text *text, PyObject *value) {
    long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred()) return -1;
    char digits[24], *at = digits + sizeof digits;
    unsigned long long rest = (unsigned long long)number;
    if (number < 0) rest = 0 - rest;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--at = '-';
    return append(text, at, digits + sizeof digits - at);
}

static int append_value(Text *text, PyObject *value) {
    if (PyUnicode_Check(value)) return append_string(text, value);
    if (PyLong_Check(value)) return append_integer(text, value);
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(value, &bytes, &length) < 0) return -1;
    return append(text, bytes, length);
}

static int append_number(Text *text, Stream *stream) {
    if (stream->at >= stream->end) {
        PyErr_SetString(PyExc_ValueError, "a stream has fewer numbers than there are rows");
        return -1;
    }
    const char *comma = memchr(stream->at, ',', (size_t)(stream->end - stream->at));
    const char *end = comma ? comma : stream->end;
    int result = append(text, stream->at, end - stream->at);
    stream->at = comma ? comma + 1 : stream->end;
    return result;
}

static int read_segment(PyObject *object, Segment *segment, Py_ssize_t rows, Py_ssize_t streams) {
    if (PyBytes_Check(object)) {
        segment->kind = CONSTANT;
        return PyBytes_AsStringAndSize(object, (char **)&segment->text, &segment->length);
    }
    if (PyList_Check(object)) {
        segment->kind = VALUES;
        segment->values = object;
        if (PyList_Size(object) == rows) return 0;
        PyErr_SetString(PyExc_ValueError, "a list has another length than there are rows");
        return -1;
    }
    segment->kind = NUMBERS;
    segment->stream = PyLong_AsSsize_t(object);
    if (segment->stream == -1 && PyErr_Occurred()) return -1;
    if (segment->stream >= 0 && segment->stream < streams) return 0;
    PyErr_SetString(PyExc_ValueError, "a segment names no stream");
    return -1;
}

static int read_stream(PyObject *object, Stream *stream) {
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &bytes, &length) < 0) return -1;
    if (length < 2 || bytes[0] != '[' || bytes[length - 1] != ']') {
        PyErr_SetString(PyExc_ValueError, "a stream is no JSON array");
        return -1;
    }
    stream->at = bytes + 1;
    stream->end = bytes + length - 1;
    return 0;
}

static PyObject *render_row(Text *text, const Segment *segments, Py_ssize_t count, Stream *streams,
                            Py_ssize_t row) {
    text->length = 0;
    for (const Segment *each = segments; each < segments + count; each++) {
        int failed;
        if (each->kind == CONSTANT)
            failed = append(text, each->text, each->length);
        else if (each->kind == VALUES) /* its length was checked, and nothing here changes it */
            failed = append_value(text, PyList_GetItem(each->values, row));
        else
            failed = append_number(text, &streams[each->stream]);
        if (failed < 0) return NULL;
    }
    return PyBytes_FromStringAndSize(text->start, text->length);
}

static PyObject *render_rows(Py_ssize_t rows, const Segment *segments, Py_ssize_t count,
                             Stream *streams, Py_ssize_t inputs) {
    PyObject *result = PyList_New(rows);
    Text text = {NULL, 0, 0};
    if (!result || reserve(&text, 512) < 0) goto failed;
    for (Py_ssize_t row = 0; row < rows; row++) {
        PyObject *line = render_row(&text, segments, count, streams, row);
        if (!line) goto failed;
        PyList_SetItem(result, row, line);
    }
    for (Py_ssize_t i = 0; i < inputs; i++) {
        if (streams[i].at >= streams[i].end) continue;
        PyErr_SetString(PyExc_ValueError, "a stream has more numbers than there are rows");
        goto failed;
    }
    PyMem_Free(text.start);
    return result;
failed:
    PyMem_Free(text.start);
    Py_XDECREF(result);
    return NULL;
}

/* render(rows, segments, streams): see _native.pyi. */
PyObject *render(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_ssize_t rows;
    PyObject *parts, *sources, *result = NULL;
    if (!PyArg_ParseTuple(args, "nO!O!", &rows, &PyTuple_Type, &parts, &PyTuple_Type, &sources))
        return NULL;
    if (rows < 0) return PyErr_Format(PyExc_ValueError, "there cannot be %zd rows", rows);
    Py_ssize_t count = PyTuple_Size(parts), inputs = PyTuple_Size(sources);
    Segment *segments = PyMem_Calloc((size_t)count + 1, sizeof(Segment));
    Stream *streams = PyMem_Calloc((size_t)inputs + 1, sizeof(Stream));
    if (!segments || !streams) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < inputs; i++)
        if (read_stream(PyTuple_GetItem(sources, i), &streams[i]) < 0) goto done;
    for (Py_ssize_t i = 0; i < count; i++)
        if (read_segment(PyTuple_GetItem(parts, i), &segments[i], rows, inputs) < 0) goto done;
    result = render_rows(rows, segments, count, streams, inputs);
done:
    PyMem_Free(segments);
    PyMem_Free(streams);
    return result;
}
