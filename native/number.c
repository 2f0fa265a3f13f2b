/* Numbers of JSON text, as exactly as the text says: the nearest double, ties to even.
 *
 * Up to 19 digits with a power of ten from 10^-19 to 10^22 are converted here (exact arithmetic
 * on 64 and 128 bits); anything else is left to Python's own correctly rounded conversion. */
#include "native.h"

#include <math.h>

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#define EXACT (1ULL << 53) /* doubles hold every whole number below this */
#define MOST_DIGITS 19     /* of a mantissa: below 2^64 */
#define MOST_PLACES 1000   /* behind the point */

static inline int is_digit(unsigned char c) { return (unsigned char)(c - '0') < 10; }

/* An exponent, from behind its `e`; NULL where it is none, or large beyond reason. */
static const unsigned char *read_exponent(const unsigned char *p, int *exponent) {
    int negative = *p == '-', value = 0;
    if (*p == '-' || *p == '+') p++;
    if (!is_digit(*p)) return NULL;
    for (; is_digit(*p); p++) {
        if (value > 10000) return NULL;
        value = value * 10 + (*p - '0');
    }
    *exponent += negative ? -value : value;
    return p;
}

const unsigned char *read_number(const unsigned char *p, Number *number) {
    uint64_t mantissa = 0;
    int digits = 0; /* of the mantissa, without leading zeros */
    *number = (Number){.negative = *p == '-'};
    p += number->negative;
    const unsigned char *start = p;
    for (; is_digit(*p); p++, digits++) mantissa = mantissa * 10 + (*p - '0');
    if (p == start || digits > MOST_DIGITS || (*start == '0' && digits > 1)) return NULL;
    if (*start == '0') digits = 0;
    if (*p == '.') {
        start = ++p;
        for (; is_digit(*p); p++) {
            mantissa = mantissa * 10 + (*p - '0');
            if (mantissa && ++digits > MOST_DIGITS) return NULL;
        }
        if (p == start || p - start > MOST_PLACES) return NULL;
        number->fraction = 1;
        number->exponent = (int)(start - p);
    }
    number->mantissa = mantissa;
    if ((*p | 0x20) != 'e') return p;
    number->fraction = 1;
    return read_exponent(p + 1, &number->exponent);
}

/* The nearest double to mantissa / divisor, both above 0: long division, then one rounding. */
static double divide(uint64_t mantissa, uint64_t divisor) {
    int shift = 64 + __builtin_clzll(mantissa);
    unsigned __int128 numerator = (unsigned __int128)mantissa << shift;
    unsigned __int128 quotient = numerator / divisor;
    int inexact = numerator % divisor != 0;
    uint64_t high = (uint64_t)(quotient >> 64);
    int length = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)quotient);
    int surplus = length - 53; /* the quotient has 64 bits at least */
    uint64_t kept = (uint64_t)(quotient >> surplus);
    unsigned __int128 rest = quotient & (((unsigned __int128)1 << surplus) - 1);
    unsigned __int128 half = (unsigned __int128)1 << (surplus - 1);
    if (rest > half || (rest == half && (inexact || (kept & 1)))) kept++;
    return ldexp((double)kept, surplus - shift);
}

/* By Python's own conversion; infinite where the text is long. */
static double any_value(const unsigned char *text, const unsigned char *end) {
    char copy[64];
    size_t length = (size_t)(end - text);
    if (length >= sizeof copy) return HUGE_VAL;
    memcpy(copy, text, length);
    copy[length] = 0;
    double value = PyOS_string_to_double(copy, NULL, NULL);
    if (!PyErr_Occurred()) return value;
    PyErr_Clear();
    return HUGE_VAL;
}

double number_value(const Number *number, const unsigned char *text, const unsigned char *end) {
    uint64_t mantissa = number->mantissa;
    int exponent = number->exponent;
    double value;
    if (mantissa == 0 || exponent == 0) {
        value = (double)mantissa;
    } else if (mantissa < EXACT && exponent > 0 && exponent <= 22) {
        value = (double)mantissa * POWERS[exponent];
    } else if (mantissa < EXACT && exponent < 0 && exponent >= -22) {
        value = (double)mantissa / POWERS[-exponent];
    } else if (exponent < 0 && exponent >= -19) {
        uint64_t divisor = 1;
        for (int step = exponent; step < 0; step++) divisor *= 10;
        value = divide(mantissa, divisor);
    } else {
        return any_value(text, end);
    }
    return number->negative ? -value : value;
}
