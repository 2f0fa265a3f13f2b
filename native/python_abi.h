/* The part of CPython's stable ABI that is used here, declared by hand.
 *
 * So the extension is built without Python's own headers, which many machines lack, and one build
 * serves every CPython from 3.11 on (PEP 384, PEP 652). tests/structure/test_native.py compiles
 * this beside the real headers: what differs is an error there. */
#ifndef STREAMSCORE_PYTHON_ABI_H
#define STREAMSCORE_PYTHON_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef Py_PYTHON_H /* the real ones are there: they must agree with the declarations below */
#define SAME(name, value) _Static_assert((name) == (value), #name)
#define LAYOUT(type, size) _Static_assert(sizeof(type) == (size), #type)
SAME(Py_tp_alloc, 47);
SAME(Py_tp_dealloc, 52);
SAME(Py_tp_doc, 56);
SAME(Py_tp_methods, 64);
SAME(Py_tp_new, 65);
SAME(Py_tp_free, 74);
SAME(Py_mod_exec, 2);
SAME(METH_VARARGS, 1);
SAME(PyBUF_WRITABLE, 1);
SAME(PyBUF_FORMAT, 4);
SAME(PyBUF_C_CONTIGUOUS, 0x38);
SAME(Py_TPFLAGS_LONG_SUBCLASS, 1UL << 24);
SAME(Py_TPFLAGS_LIST_SUBCLASS, 1UL << 25);
SAME(Py_TPFLAGS_TUPLE_SUBCLASS, 1UL << 26);
SAME(Py_TPFLAGS_BYTES_SUBCLASS, 1UL << 27);
SAME(Py_TPFLAGS_UNICODE_SUBCLASS, 1UL << 28);
LAYOUT(PyObject, 16);
LAYOUT(Py_buffer, 80);
LAYOUT(PyMethodDef, 32);
LAYOUT(PyType_Slot, 16);
LAYOUT(PyType_Spec, 32);
LAYOUT(PyModuleDef_Slot, 16);
LAYOUT(PyModuleDef, 104);
#undef Py_INCREF
#undef Py_DECREF
#undef Py_XDECREF
#undef PyBytes_Check
#undef PyList_Check
#undef PyLong_Check
#undef PyTuple_Check
#undef PyUnicode_Check
#else
typedef ssize_t Py_ssize_t;
typedef struct _typeobject PyTypeObject;
typedef struct _object {
    Py_ssize_t ob_refcnt;
    PyTypeObject *ob_type;
} PyObject;
typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len, itemsize;
    int readonly, ndim;
    char *format;
    Py_ssize_t *shape, *strides, *suboffsets;
    void *internal;
} Py_buffer;
typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef PyObject *(*allocfunc)(PyTypeObject *, Py_ssize_t);
typedef void (*freefunc)(void *);
typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;
typedef struct {
    int slot;
    void *pfunc;
} PyType_Slot;
typedef struct {
    const char *name;
    int basicsize, itemsize;
    unsigned int flags;
    PyType_Slot *slots;
} PyType_Spec;
typedef struct {
    int slot;
    void *value;
} PyModuleDef_Slot;
typedef struct {
    PyObject base;
    PyObject *(*m_init)(void);
    Py_ssize_t m_index;
    PyObject *m_copy;
    const char *m_name, *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    PyModuleDef_Slot *m_slots;
    void *m_traverse, *m_clear;
    freefunc m_free;
} PyModuleDef;

enum { Py_tp_alloc = 47, Py_tp_dealloc = 52, Py_tp_doc = 56, Py_tp_methods = 64 };
enum { Py_tp_new = 65, Py_tp_free = 74, Py_mod_exec = 2, METH_VARARGS = 1 };
enum { PyBUF_WRITABLE = 1, PyBUF_FORMAT = 4, PyBUF_C_CONTIGUOUS = 0x38, Py_TPFLAGS_DEFAULT = 0 };

#define PyObject_HEAD PyObject ob_base;
#define PyModuleDef_HEAD_INIT {1, NULL}, NULL, 0, NULL
#define Py_UNUSED(name) unused_##name __attribute__((unused))
#define Py_None (&_Py_NoneStruct)
#define Py_True (&_Py_TrueStruct)
#define Py_False (&_Py_FalseStruct)
#define Py_TYPE(object) ((object)->ob_type)
#define Py_CLEAR(object) do { Py_XDECREF(object); (object) = NULL; } while (0)

#define Py_RETURN_NONE do { Py_INCREF(Py_None); return Py_None; } while (0)

extern PyObject _Py_NoneStruct, _Py_TrueStruct, _Py_FalseStruct;
extern PyTypeObject PyDict_Type, PyList_Type, PyTuple_Type;
extern PyObject *PyExc_UnicodeDecodeError, *PyExc_ValueError;
#endif

#define Py_INCREF(object) Py_IncRef((PyObject *)(object))
#define Py_DECREF(object) Py_DecRef((PyObject *)(object))
#define Py_XDECREF(object) Py_DecRef((PyObject *)(object)) /* it takes NULL */
#define IS_A(object, bit) ((PyType_GetFlags(Py_TYPE(object)) >> (bit)) & 1)
#define PyLong_Check(object) IS_A(object, 24)
#define PyList_Check(object) IS_A(object, 25)
#define PyTuple_Check(object) IS_A(object, 26)
#define PyBytes_Check(object) IS_A(object, 27)
#define PyUnicode_Check(object) IS_A(object, 28)

void Py_IncRef(PyObject *);
void Py_DecRef(PyObject *);
unsigned long PyType_GetFlags(PyTypeObject *);
int PyArg_ParseTuple(PyObject *, const char *, ...);
void PyBuffer_Release(Py_buffer *);
int PyBytes_AsStringAndSize(PyObject *, char **, Py_ssize_t *);
PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t);
PyObject *PyDict_GetItemWithError(PyObject *, PyObject *);
void PyErr_Clear(void);
int PyErr_ExceptionMatches(PyObject *);
PyObject *PyErr_Format(PyObject *, const char *, ...);
PyObject *PyErr_NoMemory(void);
PyObject *PyErr_Occurred(void);
void PyErr_SetString(PyObject *, const char *);
double PyFloat_AsDouble(PyObject *);
int PyList_Append(PyObject *, PyObject *);
PyObject *PyList_GetItem(PyObject *, Py_ssize_t);
PyObject *PyList_New(Py_ssize_t);
int PyList_SetItem(PyObject *, Py_ssize_t, PyObject *);
Py_ssize_t PyList_Size(PyObject *);
long long PyLong_AsLongLong(PyObject *);
Py_ssize_t PyLong_AsSsize_t(PyObject *);
PyObject *PyLong_FromSsize_t(Py_ssize_t);
void *PyMem_Calloc(size_t, size_t);
void PyMem_Free(void *);
void *PyMem_Realloc(void *, size_t);
int PyModule_AddObjectRef(PyObject *, const char *, PyObject *);
PyObject *PyModuleDef_Init(PyModuleDef *);
int PyObject_GetBuffer(PyObject *, Py_buffer *, int);
double PyOS_string_to_double(const char *, char **, PyObject *);
Py_ssize_t PyTuple_Size(PyObject *);
PyObject *PyTuple_GetItem(PyObject *, Py_ssize_t);
PyObject *PyType_FromModuleAndSpec(PyObject *, PyType_Spec *, PyObject *);
void *PyType_GetSlot(PyTypeObject *, int);
const char *PyUnicode_AsUTF8AndSize(PyObject *, Py_ssize_t *);
PyObject *PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *);

#endif
