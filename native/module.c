/* The extension `model._native`: the parts of the hot path for which Python is too slow.
 *
 * Pure, as `model` is: bytes and arrays in, arrays and bytes out. */
#include "native.h"

static int fill(PyObject *module) {
    PyType_Spec *specs[] = {&decoder_spec, &walker_spec, &masks_spec};
    const char *names[] = {"Decoder", "Walker", "Masks"};
    for (int i = 0; i < 3; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (!type || PyModule_AddObjectRef(module, names[i], type) < 0) {
            Py_XDECREF(type);
            return -1;
        }
        Py_DECREF(type);
    }
    return 0;
}

static PyMethodDef functions[] = {{"render", render, METH_VARARGS, NULL},
                                  {"codes", codes, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "model._native", NULL, 0, functions,
                                 slots, NULL, NULL, NULL};

__attribute__((visibility("default"))) PyObject *PyInit__native(void);

PyObject *PyInit__native(void) { return PyModuleDef_Init(&definition); }
