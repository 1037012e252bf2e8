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

/* The bytes of a regular file and one zero behind them, to be freed; NULL if it cannot be read whole. */
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

/* A number that is a size, or -1. */
static double whole(const cJSON *number) {
    double x = cJSON_IsNumber(number) ? number->valuedouble : -1;
    return x >= 0 && x < 0x1p53 && x == floor(x) ? x : -1;
}

static uint32_t little_endian(const unsigned char *bytes, int n) {
    uint32_t bits = 0;
    while (n-- > 0) bits = bits << 8 | bytes[n];
    return bits;
}

/* One number of a safetensors file: 2 or 4 bytes, little-endian. */
static float widen(const unsigned char *bytes, const char *dtype) {
    uint32_t bits = little_endian(bytes, dtype[0] == 'F' && dtype[1] == '3' ? 4 : 2);
    if (strcmp(dtype, "F16") == 0) {
        int exponent = bits >> 10 & 31, fraction = bits & 1023;
        float x = exponent == 31 ? (fraction ? NAN : INFINITY)
                                 : ldexpf((float)(exponent ? 1024 + fraction : fraction), (exponent ? exponent : 1) - 25);
        return bits >> 15 ? -x : x;
    }
    if (strcmp(dtype, "BF16") == 0) bits <<= 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Tensor `name` of shape [rows, columns] as floats, to be freed; NULL if the file has no such tensor. */
static float *floats(const unsigned char *file, size_t size, const char *name, size_t *rows, size_t *columns) {
    if (size < 8 || little_endian(file + 4, 4) != 0 || little_endian(file, 4) > size - 8) return NULL;
    size_t header = little_endian(file, 4), data = size - 8 - header;
    cJSON *json = cJSON_ParseWithLength((const char *)file + 8, header);
    const cJSON *tensor = get(json, name), *shape = get(tensor, "shape"), *offsets = get(tensor, "data_offsets");
    const char *dtype = cJSON_GetStringValue(get(tensor, "dtype"));
    float *numbers = NULL;
    if (dtype && cJSON_GetArraySize(shape) == 2 && cJSON_GetArraySize(offsets) == 2) {
        double n = whole(shape->child), m = whole(shape->child->next);
        double start = whole(offsets->child), end = whole(offsets->child->next);
        double width = strcmp(dtype, "F32") == 0 ? 4 : strcmp(dtype, "F16") == 0 || strcmp(dtype, "BF16") == 0 ? 2 : 0;
        int fits = n >= 1 && m >= 1 && width > 0 && 0 <= start && end <= (double)data && end - start == n * m * width;
        if (fits && (numbers = malloc((size_t)(n * m) * sizeof *numbers)) != NULL) {
            *rows = (size_t)n;
            *columns = (size_t)m;
            const unsigned char *at = file + 8 + header + (size_t)start;
            for (size_t i = 0; i < *rows * *columns; i++) numbers[i] = widen(at + i * (size_t)width, dtype);
        }
    }
    cJSON_Delete(json);
    return numbers;
}

/* Checks each file that the manifest lists and takes from two of them what the head needs. */
static const char *read_listed(const char *folder, const cJSON *manifest, bundle *b) {
    size_t d = 0;
    const char *format = cJSON_GetStringValue(get(manifest, "format"));
    if (!format || strcmp(format, "lm-head-bundle") != 0 || whole(get(manifest, "version")) != 1)
        return because("manifest.json", "it is no lm-head-bundle of version 1");
    const cJSON *listed = get(manifest, "files");
    for (const cJSON *entry = listed ? listed->child : NULL; entry; entry = entry->next) {
        const char *name = entry->string, *expected = cJSON_GetStringValue(get(entry, "sha256"));
        if (!name || strchr(name, '/') || strchr(name, '\\')) return because("manifest.json", "a file name with a folder");
        size_t size = 0;
        char hex[65] = "";
        unsigned char *bytes = read_file(folder, name, &size);
        if (bytes) sha256(bytes, size, hex);
        int whole_file = bytes && expected && whole(get(entry, "size")) == (double)size && strcmp(hex, expected) == 0;
        if (whole_file && strcmp(name, "head.safetensors") == 0 && !b->embedding)
            b->embedding = floats(bytes, size, "embedding", &b->V, &b->d);
        if (whole_file && strcmp(name, "contexts.safetensors") == 0 && !b->context)
            b->context = floats(bytes, size, "context", &b->contexts, &d);
        free(bytes);
        if (!whole_file) return because(name, "missing, or not of the size and sha256 in manifest.json");
    }
    if (!b->embedding) return because("head.safetensors", "it has no embedding (V, d)");
    if (!b->context) return because("contexts.safetensors", "it has no context (N, d)");
    if (d != b->d || whole(get(manifest, "hidden_size")) != (double)d || whole(get(manifest, "vocab_size")) != (double)b->V)
        return because("manifest.json", "its vocab_size and hidden_size are not those of the tensors");
    return NULL;
}

const char *bundle_open(const char *folder, bundle *opened) {
    bundle b = {0, 0, 0, NULL, NULL};
    size_t size = 0;
    char *text = (char *)read_file(folder, "manifest.json", &size);
    if (!text) return because(folder, "it has no manifest.json");
    cJSON *manifest = cJSON_ParseWithLength(text, size);
    free(text);
    const char *why = manifest ? read_listed(folder, manifest, &b) : because("manifest.json", "it is no JSON");
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
    opened->embedding = opened->context = NULL;
}
