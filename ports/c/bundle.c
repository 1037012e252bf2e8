#define _POSIX_C_SOURCE 200809L /* stat */
#include "bundle.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sha256.h"

static char reason[512];

static const char *because(const char *file, const char *what) {
    snprintf(reason, sizeof reason, "%.200s: %s; export the bundle again", file, what);
    return reason;
}

/* The bytes of a regular file, and a zero after them; the caller frees them. NULL if the file cannot be read whole. */
static unsigned char *read_file(const char *folder, const char *name, size_t *size) {
    char path[4096];
    struct stat about;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path) return NULL;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode)) return NULL;
    *size = (size_t)about.st_size;
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = file ? malloc(*size + 1) : NULL;
    if (bytes && fread(bytes, 1, *size, file) != *size) {
        free(bytes);
        bytes = NULL;
    }
    if (file) fclose(file);
    if (bytes) bytes[*size] = 0;
    return bytes;
}

static const cJSON *get(const cJSON *object, const char *key) { return cJSON_GetObjectItemCaseSensitive(object, key); }

/* The number, if it is a whole number that can be a size; otherwise -1. */
static double whole(const cJSON *number) {
    double x = cJSON_IsNumber(number) ? number->valuedouble : -1;
    return x >= 0 && x < 0x1p53 && x == floor(x) ? x : -1;
}

static uint32_t little_endian(const unsigned char *bytes, int n) {
    uint32_t bits = 0;
    while (n-- > 0) bits = bits << 8 | bytes[n];
    return bits;
}

/* One stored number of 2 or 4 bytes, little-endian, as a float. */
static float widen(const unsigned char *bytes, const char *dtype) {
    uint32_t bits = little_endian(bytes, strcmp(dtype, "float32") == 0 ? 4 : 2);
    if (strcmp(dtype, "float16") == 0) { /* a sign, five bits of exponent and ten of fraction */
        int exponent = bits >> 10 & 31, fraction = bits & 1023;
        float x = ldexpf((float)(exponent ? 1024 + fraction : fraction), (exponent ? exponent : 1) - 25);
        if (exponent == 31) x = fraction ? NAN : INFINITY;
        return bits >> 15 ? -x : x;
    }
    if (strcmp(dtype, "bfloat16") == 0) bits <<= 16; /* the upper half of a float32 */
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A tensor [rows, columns] of a file as floats, which the caller frees; with no columns, a vector [rows]. NULL if the
 * manifest or the file is wrong. */
static float *floats(const unsigned char *file, size_t size, const cJSON *tensor, double rows, double columns) {
    const char *dtype = cJSON_GetStringValue(get(tensor, "dtype"));
    const cJSON *shape = get(tensor, "shape");
    double offset = whole(get(tensor, "offset")), width = 0;
    if (dtype && strcmp(dtype, "float32") == 0) width = 4;
    if (dtype && (strcmp(dtype, "float16") == 0 || strcmp(dtype, "bfloat16") == 0)) width = 2;
    if (cJSON_GetArraySize(shape) != (columns ? 2 : 1) || whole(shape->child) != rows) return NULL;
    if (columns && whole(shape->child->next) != columns) return NULL;
    if (!columns) columns = 1;
    if (rows < 1 || columns < 1 || !width || offset < 0 || offset + rows * columns * width > (double)size) return NULL;
    size_t count = (size_t)(rows * columns);
    float *numbers = malloc(count * sizeof *numbers);
    for (size_t i = 0; numbers && i < count; i++)
        numbers[i] = widen(file + (size_t)offset + i * (size_t)width, dtype);
    return numbers;
}

static int lies_in(const cJSON *tensor, const char *name) {
    const char *file = cJSON_GetStringValue(get(tensor, "file"));
    return file && strcmp(file, name) == 0;
}

static int positive(const cJSON *number) {
    double x = cJSON_IsNumber(number) ? number->valuedouble : 0;
    return (float)x > 0 && (float)x < INFINITY;
}

/* What comes after the product. A step or a norm that this reader does not know is no bundle of version 3: without it,
 * the logits would be others. The norm itself is not needed, since a bundle holds what comes out of it. */
static const char *read_output_layer(const cJSON *manifest, bundle *b) {
    const cJSON *layer = get(manifest, "output_layer"), *norm = get(layer, "norm"), *cap = get(layer, "cap");
    const cJSON *multiplier = get(layer, "multiplier"), *divisor = get(layer, "divisor");
    b->multiplier = b->divisor = 1;
    b->cap = INFINITY;
    if (whole(get(manifest, "version")) == 2) return NULL;
    const char *kind = cJSON_GetStringValue(get(norm, "kind"));
    const cJSON *offset = get(norm, "weight_offset");
    if (cJSON_GetArraySize(layer) != 4 || !norm || !cap || !positive(multiplier) || !positive(divisor))
        return because("manifest.json", "output_layer is not norm, multiplier, divisor and cap, the two above 0");
    if (!cJSON_IsNull(cap) && !positive(cap))
        return because("manifest.json", "output_layer: cap is neither null nor above 0");
    if (!cJSON_IsNull(norm)) {
        if (!kind || (strcmp(kind, "layer_norm") != 0 && strcmp(kind, "rms_norm") != 0))
            return because("manifest.json", "output_layer: the norm is neither a layer_norm nor an rms_norm");
        if (cJSON_GetArraySize(norm) != 3 || !positive(get(norm, "epsilon")) || !cJSON_IsNumber(offset))
            return because("manifest.json", "output_layer: the norm is not kind, epsilon > 0 and weight_offset");
    }
    b->multiplier = multiplier->valuedouble;
    b->divisor = divisor->valuedouble;
    if (cJSON_IsNumber(cap)) b->cap = cap->valuedouble;
    return NULL;
}

/* Checks every file that the manifest lists, and reads the tensors that the head needs. */
static const char *read_listed(const char *folder, const cJSON *manifest, bundle *b) {
    double V = whole(get(manifest, "vocab_size")), d = whole(get(manifest, "hidden_size"));
    double contexts = whole(get(manifest, "prompts"));
    const cJSON *listed = get(manifest, "files"), *tensors = get(manifest, "tensors");
    const cJSON *embedding = get(tensors, "embedding"), *context = get(tensors, "context");
    const cJSON *bias = whole(get(manifest, "version")) == 2 ? NULL : get(tensors, "bias");
    for (const cJSON *entry = listed ? listed->child : NULL; entry; entry = entry->next) {
        const char *name = entry->string, *expected = cJSON_GetStringValue(get(entry, "sha256"));
        if (!name || strchr(name, '/') || strchr(name, '\\')) return because("manifest.json", "a name with a folder");
        size_t size = 0;
        char hex[65] = "";
        unsigned char *bytes = read_file(folder, name, &size);
        if (bytes) sha256(bytes, size, hex);
        int same = bytes && expected && whole(get(entry, "size")) == (double)size && strcmp(hex, expected) == 0;
        if (same && !b->embedding && lies_in(embedding, name)) b->embedding = floats(bytes, size, embedding, V, d);
        if (same && !b->bias && lies_in(bias, name)) b->bias = floats(bytes, size, bias, V, 0);
        if (same && !b->context && lies_in(context, name)) b->context = floats(bytes, size, context, contexts, d);
        free(bytes);
        if (!same) return because(name, "missing, or not of the size and sha256 in manifest.json");
    }
    if (!b->embedding) return because("manifest.json", "there is no embedding (vocab_size, hidden_size)");
    if (bias && !b->bias) return because("manifest.json", "there is no bias (vocab_size), though it is listed");
    if (contexts != 0 && !b->context) return because("manifest.json", "there is no context (prompts, hidden_size)");
    b->V = (size_t)V;
    b->d = (size_t)d;
    b->contexts = (size_t)contexts;
    return NULL;
}

/* The manifest holds the SHA-256 of its own bytes. It was computed with zeros in place of its own 64 digits. */
static const char *check_seal(char *text, size_t size, const cJSON *manifest) {
    const char *format = cJSON_GetStringValue(get(manifest, "format"));
    const char *seal = cJSON_GetStringValue(get(manifest, "sha256"));
    double version = whole(get(manifest, "version"));
    char *last = NULL, hex[65];
    if (!format || strcmp(format, "lm-head-bundle") != 0 || (version != 2 && version != 3))
        return because("manifest.json", "it is not of format lm-head-bundle, version 2 or 3");
    if (seal && strlen(seal) == 64)
        for (char *at = text; (at = strstr(at, seal)) != NULL; at++) last = at;
    if (last) {
        memset(last, '0', 64);
        sha256((unsigned char *)text, size, hex);
    }
    return last && strcmp(hex, seal) == 0 ? NULL : because("manifest.json", "it does not match its own sha256");
}

const char *bundle_open(const char *folder, bundle *opened) {
    bundle b = {0, 0, 0, NULL, NULL, NULL, 1, 1, INFINITY};
    size_t size = 0;
    char *text = (char *)read_file(folder, "manifest.json", &size);
    if (!text) return because(folder, "it has no manifest.json");
    cJSON *manifest = cJSON_ParseWithLength(text, size);
    const char *why = manifest ? check_seal(text, size, manifest) : because("manifest.json", "it is not JSON");
    if (!why) why = read_output_layer(manifest, &b);
    if (!why) why = read_listed(folder, manifest, &b);
    free(text);
    cJSON_Delete(manifest);
    if (why) {
        bundle_close(&b);
        return why;
    }
    bundle_close(opened);
    *opened = b;
    return NULL;
}

void bundle_close(bundle *opened) {
    free(opened->embedding);
    free(opened->context);
    free(opened->bias);
    opened->embedding = opened->context = opened->bias = NULL;
}
