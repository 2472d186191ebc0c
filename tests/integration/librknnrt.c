/* A librknnrt.so for an NPU that is not there. It knows one network, that of tests/acoustics/small.py, and answers
 * logits[v][t] = input row 2 t, channel v. STUB_FAULT in the environment makes it ill.
 * Structures follow the layout that rknn-toolkit-lite2 2.5.0 uses on aarch64. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 39, CHANNELS = 64, FRAMES = 19, TOKENS = 5 };
enum { OK = 0, FAILED = -1, PARAMETER_INVALID = -5, MODEL_INVALID = -6 };
enum { IN_OUT_NUM = 0, INPUT_ATTRIBUTES = 1, OUTPUT_ATTRIBUTES = 2, PERF_DETAIL = 3, PERF_RUN = 4, SDK_VERSION = 5 };
enum { COLLECT_PERF = 8 };
enum { NCHW = 0, NHWC = 1, FLOAT16 = 1 };

typedef uint64_t context;

typedef struct {
    uint32_t index, axes, shape[16];
    char name[256];
    uint32_t elements, bytes;
    int layout, type, quantization;
    int8_t fraction;
    int32_t zero_point;
    float scale;
    uint32_t width_stride, bytes_with_stride;
    uint8_t pass_through;
    uint32_t height_stride;
} attributes;

typedef struct {
    uint32_t index;
    void *data;
    uint32_t bytes;
    uint8_t pass_through;
    int type, layout;
} input;

typedef struct {
    uint8_t want_float, preallocated;
    uint32_t index;
    void *data;
    uint32_t bytes;
} output;

typedef struct {
    const char *text;
    uint64_t bytes;
} performance;

static int profiling, timed;
static float given[ROWS * CHANNELS], answer[TOKENS * FRAMES];

static int ill(const char *fault) {
    const char *now = getenv("STUB_FAULT");
    return now && strcmp(now, fault) == 0;
}

int rknn_init(context *c, void *model, uint32_t bytes, uint32_t flags, void *extended) {
    (void)extended;
    profiling = flags & COLLECT_PERF;
    *c = 1;
    return bytes < 4 || memcmp(model, "RKNN", 4) || ill("init") ? MODEL_INVALID : OK;
}

int rknn_destroy(context c) { return (void)c, OK; }

int rknn_query(context c, int what, void *told, uint32_t bytes) {
    (void)c;
    memset(told, 0, what == INPUT_ATTRIBUTES || what == OUTPUT_ATTRIBUTES ? 0 : bytes);
    if (what == IN_OUT_NUM) {
        ((uint32_t *)told)[0] = ((uint32_t *)told)[1] = 1;
    } else if (what == SDK_VERSION) {
        strcpy(told, ill("version") ? "1.6.0 (9a7b5d24c@2023-12-13T17:31:11)" : "2.5.0 (686ab84@2026-09-01T00:00:00)");
        strcpy((char *)told + 256, "0.9.8");
    } else if (what == INPUT_ATTRIBUTES || what == OUTPUT_ATTRIBUTES) {
        static const uint32_t in[4] = {1, 1, ROWS, CHANNELS}, out[4] = {1, TOKENS, 1, FRAMES};
        int is_input = what == INPUT_ATTRIBUTES;
        attributes *a = told;
        memset((char *)a + sizeof a->index, 0, sizeof *a - sizeof a->index);
        a->axes = 4;
        memcpy(a->shape, is_input ? in : out, sizeof in);
        strcpy(a->name, is_input ? "audio" : "logits");
        a->elements = is_input ? ROWS * CHANNELS : TOKENS * FRAMES;
        a->bytes = a->bytes_with_stride = 2 * a->elements;
        a->layout = is_input ? NHWC : NCHW;
        a->type = FLOAT16;
        a->scale = 1;
    } else if (what == PERF_RUN && timed) {
        *(int64_t *)told = 1234;
    } else if (what == PERF_DETAIL && profiling && timed) {
        *(performance *)told = (performance){"ID OpType Time(us)\n1 ConvRelu 700\n2 Conv 500\n", 40};
    } else {
        return PARAMETER_INVALID;
    }
    return OK;
}

int rknn_inputs_set(context c, uint32_t count, input *inputs) {
    (void)c;
    if (count != 1 || inputs->bytes != sizeof given || inputs->layout != NHWC) return PARAMETER_INVALID;
    memcpy(given, inputs->data, sizeof given);
    return OK;
}

int rknn_run(context c, void *extended) {
    (void)c, (void)extended;
    timed = 0;
    if (ill("run")) return FAILED;
    if (ill("hang")) sleep(3600);
    for (int v = 0; v < TOKENS; v++)
        for (int t = 0; t < FRAMES; t++) answer[v * FRAMES + t] = ill("nan") ? NAN : given[2 * t * CHANNELS + v];
    return OK;
}

int rknn_outputs_get(context c, uint32_t count, output *outputs, void *extended) {
    (void)c, (void)count, (void)extended;
    if (ill("outputs")) return FAILED;
    if (!outputs->preallocated) outputs->data = malloc(sizeof answer);
    outputs->bytes = sizeof answer;
    memcpy(outputs->data, answer, sizeof answer);
    timed = 1;
    return OK;
}

int rknn_outputs_release(context c, uint32_t count, output *outputs) {
    (void)c, (void)count;
    if (!outputs->preallocated) free(outputs->data);
    return OK;
}

int rknn_set_input_shapes(context c, uint32_t count, attributes *a) { return (void)c, (void)count, (void)a, OK; }

/* The RK3568 has one core and refuses this. */
int rknn_set_core_mask(context c, int mask) { return (void)c, (void)mask, FAILED; }
