/* A stand-in for libcuda.so.1: the calls that edge-alpr uses, on host memory, with a strict eye on how they are used.
 *
 * Device addresses are tags that no processor can follow; they never come back. Work on a stream is queued and only
 * done when somebody waits, so a missing wait shows as missing results. Every misuse is refused with the status that
 * CUDA has for it, counted, and described by standin_complaint. Any call can be made to fail once (standin_fault) or
 * all from now on (standin_lose). One device, one primary context. Calls may come from any thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef unsigned long long CUdeviceptr;
typedef void (*Work)(uint64_t);

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       NOT_MAPPED = 211, INVALID_HANDLE = 400, ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };
enum Kind { DEVICE, PINNED, STREAM, EVENT, GRAPH, EXEC, RESOURCE, EXTERNAL, IMAGE, KINDS };

typedef struct Op {
    enum { UPLOAD, DOWNLOAD, FILL, RECORD, FOLLOW, WORK } what;
    uint64_t to, from, size;  /* RECORD, FOLLOW: the event is `to`, its ticket `size`; WORK: function and argument */
    struct Op *next;
} Op;

typedef struct Thing {
    enum Kind kind;
    uint64_t handle, size;
    unsigned char *host;  /* DEVICE, PINNED, EXTERNAL */
    Op *first, *last;     /* STREAM: what waits; GRAPH, EXEC: what was captured */
    int capturing, broken;
    uint64_t recorded, done, stream;  /* EVENT: tickets, and where it was recorded last */
    uint32_t width, height, pitch;    /* IMAGE */
    uint64_t image;                   /* RESOURCE; STREAM: the graph that it captures */
    pthread_t thread;                 /* STREAM: who captures */
    struct Thing *next;
} Thing;

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static Thing *things;
static uint64_t tag = 0x0700000000000000ull;
static int initialised, retained, lost, complaints, alive[KINDS];
static long calls[128];
static const char *names[128];
static char complaint[512];
static uint64_t copied[3];  /* bytes up, down, filled */
static struct { char name[64]; long nth; int code; } fault;
static __thread uint64_t current;
#define CONTEXT 0x0c0ffee0c0ffee00ull

static CUresult refuse(CUresult status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!complaints++) vsnprintf(complaint, sizeof complaint, format, arguments);
    va_end(arguments);
    return status;
}

static long *counter(const char *name) {
    for (int i = 0; i < 128; i++) {
        if (!names[i]) names[i] = strdup(name);
        if (!strcmp(names[i], name)) return &calls[i];
    }
    abort();
}

/* Count the call; whether it shall fail. */
static CUresult enter(const char *name, int with_context) {
    ++*counter(name);
    if (lost) return lost;
    if (!strcmp(fault.name, name) && fault.nth && !--fault.nth) return fault.code;
    if (!initialised && strcmp(name, "cuInit")) return refuse(NOT_INITIALIZED, "%s before cuInit", name);
    if (with_context && current != CONTEXT) return refuse(INVALID_CONTEXT, "%s: no context is current here", name);
    if (with_context && !retained) return refuse(INVALID_CONTEXT, "%s: the context was released", name);
    return OK;
}

#define ENTER(with_context)                                              \
    pthread_mutex_lock(&lock);                                           \
    CUresult status = enter(__func__, with_context)
#define LEAVE                                                            \
    pthread_mutex_unlock(&lock);                                         \
    return status
#define IF_FINE if (status == OK)

static Thing *make(enum Kind kind, uint64_t size) {
    Thing *thing = calloc(1, sizeof *thing);
    thing->kind = kind;
    thing->size = size;
    thing->handle = tag;
    tag += (size + 1023) & ~511ull;  /* a gap behind each, so that one past the end is nobody's */
    if (kind == DEVICE) thing->host = malloc(size);
    if (kind == DEVICE) memset(thing->host, 0xDB, size);
    thing->next = things;
    things = thing;
    alive[kind]++;
    return thing;
}

static Thing *find(enum Kind kind, uint64_t handle) {
    for (Thing *thing = things; thing; thing = thing->next)
        if (thing->kind == kind && thing->handle == handle) return thing;
    return NULL;
}

static void drop_ops(Thing *thing) {
    while (thing->first) {
        Op *op = thing->first;
        thing->first = op->next;
        free(op);
    }
    thing->last = NULL;
}

static void unmake(Thing *thing) {
    for (Thing **at = &things; *at; at = &(*at)->next)
        if (*at == thing) { *at = thing->next; break; }
    alive[thing->kind]--;
    drop_ops(thing);
    if (thing->kind == DEVICE || thing->kind == PINNED) free(thing->host);
    free(thing);
}

/* The memory that holds all of [address, address + size), or NULL. */
static Thing *holding(enum Kind kind, uint64_t address, uint64_t size) {
    for (Thing *thing = things; thing; thing = thing->next)
        if (thing->kind == kind && address >= thing->handle && address + size <= thing->handle + thing->size) return thing;
    return NULL;
}

static unsigned char *on_device(uint64_t address, uint64_t size) {
    Thing *memory = holding(DEVICE, address, size);
    if (!memory) memory = holding(EXTERNAL, address, size);
    return memory ? memory->host + (address - memory->handle) : NULL;
}

static void push(Thing *to, Op op) {
    Op *copy = malloc(sizeof *copy);
    *copy = op;
    copy->next = NULL;
    if (to->last) to->last->next = copy; else to->first = copy;
    to->last = copy;
}

static void run_until(Thing *stream, Thing *event, uint64_t ticket);

static void perform(Op op) {
    unsigned char *host;
    Thing *event, *other;
    switch (op.what) {
    case UPLOAD:
        host = on_device(op.to, op.size);
        if (!host || !holding(PINNED, op.from, op.size)) { refuse(ILLEGAL_ADDRESS, "an upload ran on memory given back"); break; }
        memcpy(host, (void *)op.from, op.size);
        copied[0] += op.size;
        break;
    case DOWNLOAD:
        host = on_device(op.from, op.size);
        if (!host || !holding(PINNED, op.to, op.size)) { refuse(ILLEGAL_ADDRESS, "a download ran on memory given back"); break; }
        memcpy((void *)op.to, host, op.size);
        copied[1] += op.size;
        break;
    case FILL:
        host = on_device(op.to, op.size);
        if (!host) { refuse(ILLEGAL_ADDRESS, "a fill ran on memory given back"); break; }
        memset(host, (int)op.from, op.size);
        copied[2] += op.size;
        break;
    case RECORD:
        event = find(EVENT, op.to);
        if (event && event->done < op.size) event->done = op.size;
        break;
    case FOLLOW:
        event = find(EVENT, op.to);
        other = event ? find(STREAM, event->stream) : NULL;
        if (other && event->done < op.size) run_until(other, event, op.size);
        break;
    case WORK:
        ((Work)op.to)(op.from);
        break;
    }
}

/* Do the work of a stream: all of it, or until an event has got its ticket. */
static void run_until(Thing *stream, Thing *event, uint64_t ticket) {
    while (stream->first && !(event && event->done >= ticket)) {
        Op *op = stream->first;
        stream->first = op->next;
        if (!stream->first) stream->last = NULL;
        Op copy = *op;
        free(op);
        perform(copy);
    }
}

static CUresult stream_of(const char *who, uint64_t handle, Thing **stream) {
    if (handle < 3) return refuse(INVALID_HANDLE, "%s on the default stream", who);
    *stream = find(STREAM, handle);
    return *stream ? OK : refuse(INVALID_HANDLE, "%s on a stream that is no more", who);
}

/* Put work on a stream, or into the graph that it captures. */
static CUresult enqueue(const char *who, uint64_t handle, Op op) {
    Thing *stream;
    CUresult status = stream_of(who, handle, &stream);
    if (status) return status;
    if (stream->capturing && stream->broken) return CAPTURE_INVALIDATED;
    Thing *graph = stream->capturing ? find(GRAPH, stream->image) : stream;
    push(graph, op);
    return OK;
}

/* What a thread may not do while it captures: it breaks the capture. */
static CUresult unsafe(const char *who) {
    for (Thing *thing = things; thing; thing = thing->next)
        if (thing->kind == STREAM && thing->capturing && pthread_equal(thing->thread, pthread_self())) {
            thing->broken = 1;
            return refuse(CAPTURE_UNSUPPORTED, "%s while a graph is captured", who);
        }
    return OK;
}

/* Whether a copy that waits on some stream needs this memory. */
static int pending(const Thing *memory) {
    for (Thing *thing = things; memory && thing; thing = thing->next)
        for (Op *op = thing->kind == STREAM ? thing->first : NULL; op; op = op->next)
            if (op->what <= FILL && (op->to - memory->handle < memory->size || op->from - memory->handle < memory->size)) return 1;
    return 0;
}

static CUresult destroy(const char *who, enum Kind kind, uint64_t handle) {
    Thing *thing = find(kind, handle);
    if (!thing) return refuse(kind == DEVICE || kind == PINNED ? INVALID_VALUE : INVALID_HANDLE, "%s: not alive, given back twice?", who);
    unmake(thing);
    return OK;
}

/* ---- the driver ---- */

CUresult cuInit(unsigned flags) { ENTER(0); IF_FINE { initialised = 1; if (flags) status = INVALID_VALUE; } LEAVE; }
CUresult cuDriverGetVersion(int *version) { ENTER(0); IF_FINE *version = 12060; LEAVE; }
CUresult cuDeviceGetCount(int *devices) { ENTER(0); IF_FINE *devices = 1; LEAVE; }
CUresult cuDeviceGet(int *device, int ordinal) { ENTER(0); IF_FINE { *device = 0; if (ordinal) status = INVALID_DEVICE; } LEAVE; }
CUresult cuDeviceGetName(char *name, int size, int device) { ENTER(0); IF_FINE snprintf(name, size, "stand-in %d", device); LEAVE; }
CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) { ENTER(0); IF_FINE *bytes = (8ull << 30) + device; LEAVE; }

CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTER(0);
    IF_FINE switch (attribute) {
    case 75: *value = 8; break;
    case 76: *value = 7; break;
    case 18: *value = 1; break;
    default: *value = device; status = INVALID_VALUE;
    }
    LEAVE;
}

CUresult cuDevicePrimaryCtxRetain(uint64_t *context, int device) { ENTER(0); IF_FINE { *context = CONTEXT + device; retained++; } LEAVE; }

CUresult cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER(0);
    IF_FINE { if (retained - device > 0) retained--; else status = refuse(INVALID_CONTEXT, "the context is released twice"); }
    LEAVE;
}

CUresult cuCtxSetCurrent(uint64_t context) {
    ENTER(0);
    IF_FINE {
        if (context && (context != CONTEXT || !retained)) status = refuse(INVALID_CONTEXT, "cuCtxSetCurrent: no such context");
        else current = context;
    }
    LEAVE;
}

CUresult cuCtxGetCurrent(uint64_t *context) { ENTER(0); IF_FINE *context = current; LEAVE; }
CUresult cuCtxGetDevice(int *device) { ENTER(1); IF_FINE *device = 0; LEAVE; }

CUresult cuCtxSynchronize(void) {
    ENTER(1);
    IF_FINE status = unsafe(__func__);
    if (status == OK)
        for (Thing *thing = things; thing; thing = thing->next)
            if (thing->kind == STREAM) run_until(thing, NULL, 0);
    IF_FINE status = lost;
    LEAVE;
}

CUresult cuMemGetInfo_v2(size_t *left, size_t *total) { ENTER(1); IF_FINE { *left = 4ull << 30; *total = 8ull << 30; } LEAVE; }

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t size) {
    ENTER(1);
    IF_FINE status = unsafe(__func__);
    IF_FINE { if (!size) status = INVALID_VALUE; else if (size > 4ull << 30) status = OUT_OF_MEMORY; }
    IF_FINE *pointer = make(DEVICE, size)->handle;
    LEAVE;
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
    ENTER(1);
    IF_FINE status = unsafe(__func__);
    IF_FINE if (pending(find(DEVICE, pointer))) status = refuse(INVALID_VALUE, "device memory is given back while work waits");
    IF_FINE status = destroy(__func__, DEVICE, pointer);
    LEAVE;
}

CUresult cuMemAllocHost_v2(void **pointer, size_t size) {
    ENTER(1);
    IF_FINE status = unsafe(__func__);
    IF_FINE if (!size) status = INVALID_VALUE;
    IF_FINE {
        Thing *memory = make(PINNED, size);
        memory->host = malloc(size);
        memset(memory->host, 0xDB, size);
        memory->handle = (uint64_t)memory->host;
        *pointer = memory->host;
    }
    LEAVE;
}

CUresult cuMemFreeHost(void *pointer) {
    ENTER(1);
    IF_FINE status = unsafe(__func__);
    IF_FINE if (pending(find(PINNED, (uint64_t)pointer))) status = refuse(INVALID_VALUE, "pinned memory is given back while work waits");
    IF_FINE status = destroy(__func__, PINNED, (uint64_t)pointer);
    LEAVE;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, uint64_t stream) {
    ENTER(1);
    IF_FINE if (!holding(PINNED, (uint64_t)from, size)) status = refuse(INVALID_VALUE, "an upload from memory that is not pinned");
    IF_FINE if (!on_device(to, size)) status = refuse(INVALID_VALUE, "an upload to what is no device memory");
    IF_FINE status = enqueue(__func__, stream, (Op){UPLOAD, to, (uint64_t)from, size, NULL});
    LEAVE;
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, uint64_t stream) {
    ENTER(1);
    IF_FINE if (!holding(PINNED, (uint64_t)to, size)) status = refuse(INVALID_VALUE, "a download to memory that is not pinned");
    IF_FINE if (!on_device(from, size)) status = refuse(INVALID_VALUE, "a download from what is no device memory");
    IF_FINE status = enqueue(__func__, stream, (Op){DOWNLOAD, (uint64_t)to, from, size, NULL});
    LEAVE;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, uint64_t stream) {
    ENTER(1);
    IF_FINE if (!on_device(to, size)) status = refuse(INVALID_VALUE, "a fill of what is no device memory");
    IF_FINE status = enqueue(__func__, stream, (Op){FILL, to, value, size, NULL});
    LEAVE;
}

CUresult cuStreamCreate(uint64_t *stream, unsigned flags) {
    ENTER(1);
    IF_FINE if (flags != 1) status = refuse(INVALID_VALUE, "a stream that waits for the default stream");
    IF_FINE *stream = make(STREAM, 1)->handle;
    LEAVE;
}

CUresult cuStreamDestroy_v2(uint64_t handle) {
    ENTER(1);
    Thing *stream;
    IF_FINE status = stream_of(__func__, handle, &stream);
    IF_FINE {
        if (stream->first) status = refuse(INVALID_VALUE, "a stream is given back while work waits on it");
        Thing *graph = stream->capturing ? find(GRAPH, stream->image) : NULL;
        if (graph) unmake(graph);  /* the capture dies with its stream */
    }
    IF_FINE unmake(stream);
    LEAVE;
}

CUresult cuStreamSynchronize(uint64_t handle) {
    ENTER(1);
    Thing *stream;
    IF_FINE status = stream_of(__func__, handle, &stream);
    IF_FINE status = unsafe(__func__);
    IF_FINE run_until(stream, NULL, 0);
    IF_FINE status = lost;
    LEAVE;
}

CUresult cuStreamWaitEvent(uint64_t handle, uint64_t waited, unsigned flags) {
    ENTER(1);
    Thing *event = find(EVENT, waited);
    IF_FINE if (!event || flags) status = refuse(INVALID_HANDLE, "a stream follows an event that is no more");
    IF_FINE status = enqueue(__func__, handle, (Op){FOLLOW, waited, 0, event->recorded, NULL});
    LEAVE;
}

CUresult cuEventCreate(uint64_t *event, unsigned flags) {
    ENTER(1);
    IF_FINE if (!(flags & 1)) status = refuse(INVALID_VALUE, "an event whose waiting thread spins");
    IF_FINE *event = make(EVENT, 1)->handle;
    LEAVE;
}

CUresult cuEventDestroy_v2(uint64_t event) { ENTER(1); IF_FINE status = destroy(__func__, EVENT, event); LEAVE; }

CUresult cuEventRecord(uint64_t handle, uint64_t on) {
    ENTER(1);
    Thing *event = find(EVENT, handle), *stream;
    IF_FINE if (!event) status = refuse(INVALID_HANDLE, "an event that is no more is recorded");
    IF_FINE status = stream_of(__func__, on, &stream);
    IF_FINE {
        if (stream->capturing) event->broken = 1;  /* it marks a place in the graph: nobody can wait for it */
        else {
            event->broken = 0;
            event->stream = on;
            status = enqueue(__func__, on, (Op){RECORD, handle, 0, ++event->recorded, NULL});
        }
    }
    LEAVE;
}

CUresult cuEventSynchronize(uint64_t handle) {
    ENTER(1);
    Thing *event = find(EVENT, handle);
    IF_FINE if (!event) status = refuse(INVALID_HANDLE, "somebody waits for an event that is no more");
    IF_FINE if (event->broken) status = refuse(INVALID_VALUE, "somebody waits for an event recorded in a capture");
    IF_FINE status = unsafe(__func__);
    IF_FINE {
        Thing *stream = find(STREAM, event->stream);
        if (event->done < event->recorded && stream) run_until(stream, event, event->recorded);
        status = lost;
    }
    LEAVE;
}

CUresult cuStreamBeginCapture_v2(uint64_t handle, int mode) {
    ENTER(1);
    Thing *stream;
    IF_FINE status = stream_of(__func__, handle, &stream);
    IF_FINE if (mode != 1) status = refuse(INVALID_VALUE, "a capture that binds other threads");
    IF_FINE if (stream->capturing) status = refuse(INVALID_VALUE, "a capture within a capture");
    IF_FINE {
        stream->capturing = 1;
        stream->broken = 0;
        stream->thread = pthread_self();
        stream->image = make(GRAPH, 1)->handle;
    }
    LEAVE;
}

CUresult cuStreamEndCapture(uint64_t handle, uint64_t *graph) {
    ENTER(1);
    Thing *stream;
    IF_FINE status = stream_of(__func__, handle, &stream);
    IF_FINE if (!stream->capturing) status = INVALID_VALUE;  /* asked after an error: harmless */
    IF_FINE {
        stream->capturing = 0;
        *graph = stream->image;
        if (stream->broken) {
            unmake(find(GRAPH, stream->image));
            *graph = 0;
            status = CAPTURE_INVALIDATED;
        }
    }
    LEAVE;
}

CUresult cuGraphInstantiateWithFlags(uint64_t *exec, uint64_t handle, unsigned long long flags) {
    ENTER(1);
    Thing *graph = find(GRAPH, handle);
    IF_FINE if (!graph || flags) status = refuse(INVALID_VALUE, "a graph that is no more is made ready");
    IF_FINE {
        Thing *ready = make(EXEC, 1);
        for (Op *op = graph->first; op; op = op->next) push(ready, *op);
        *exec = ready->handle;
    }
    LEAVE;
}

CUresult cuGraphLaunch(uint64_t handle, uint64_t stream) {
    ENTER(1);
    Thing *exec = find(EXEC, handle);
    IF_FINE if (!exec) status = refuse(INVALID_VALUE, "a graph that is no more is launched");
    if (status == OK)
        for (Op *op = exec->first; op && status == OK; op = op->next) status = enqueue(__func__, stream, *op);
    LEAVE;
}

CUresult cuGraphExecDestroy(uint64_t exec) { ENTER(1); IF_FINE status = destroy(__func__, EXEC, exec); LEAVE; }
CUresult cuGraphDestroy(uint64_t graph) { ENTER(1); IF_FINE status = destroy(__func__, GRAPH, graph); LEAVE; }

/* ---- EGL: images are announced by whoever stands in for NVMM ---- */

typedef struct { void *planes[3]; unsigned width, height, depth, pitch, plane_count, channels; int kind, colour, format; } EglFrame;

CUresult cuGraphicsEGLRegisterImage(uint64_t *resource, uint64_t image, unsigned flags) {
    ENTER(1);
    IF_FINE if (flags) status = refuse(11, "an EGL image is registered with flags: Tegra takes none");
    IF_FINE if (!find(IMAGE, image)) status = refuse(INVALID_HANDLE, "an EGL image that is no more is registered");
    IF_FINE {
        Thing *made = make(RESOURCE, 1);
        made->image = image;
        *resource = made->handle;
    }
    LEAVE;
}

CUresult cuGraphicsResourceGetMappedEglFrame(EglFrame *frame, uint64_t handle, unsigned index, unsigned mip) {
    ENTER(1);
    Thing *resource = find(RESOURCE, handle), *image = resource ? find(IMAGE, resource->image) : NULL;
    IF_FINE if (!resource || index || mip) status = refuse(NOT_MAPPED, "an EGL frame of what is not registered");
    IF_FINE if (!image) status = refuse(ILLEGAL_ADDRESS, "an EGL frame of a surface that is no more");
    IF_FINE {
        memset(frame, 0, sizeof *frame);
        frame->planes[0] = (void *)image->recorded;
        frame->planes[1] = image->broken ? NULL : (void *)(image->recorded + (uint64_t)image->pitch * image->height);
        frame->width = image->width;
        frame->height = image->height;
        frame->pitch = image->pitch;
        frame->plane_count = 2;
        frame->channels = 1;
        frame->kind = !image->broken;
        frame->format = 1;
    }
    LEAVE;
}

CUresult cuGraphicsUnregisterResource(uint64_t resource) {
    ENTER(1);
    Thing *thing = find(RESOURCE, resource);
    IF_FINE if (thing && !find(IMAGE, thing->image)) status = refuse(ILLEGAL_ADDRESS, "a surface went before its registration");
    IF_FINE status = destroy(__func__, RESOURCE, resource);
    LEAVE;
}

/* ---- errors and look-up ---- */

CUresult cuGetErrorName(CUresult status, const char **name) {
    switch (status) {
    case OK: *name = "CUDA_SUCCESS"; return OK;
    case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; return OK;
    case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return OK;
    case NOT_INITIALIZED: *name = "CUDA_ERROR_NOT_INITIALIZED"; return OK;
    case INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; return OK;
    case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; return OK;
    case INVALID_HANDLE: *name = "CUDA_ERROR_INVALID_HANDLE"; return OK;
    case ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; return OK;
    case CAPTURE_UNSUPPORTED: *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; return OK;
    case CAPTURE_INVALIDATED: *name = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"; return OK;
    case 999: *name = "CUDA_ERROR_UNKNOWN"; return OK;
    default: *name = NULL; return INVALID_VALUE;
    }
}

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *found) {
    char name[96];
    snprintf(name, sizeof name, "%s_v2", symbol);
    if (!strcmp(symbol, "cuGraphInstantiate")) snprintf(name, sizeof name, "cuGraphInstantiateWithFlags");
    Dl_info mine;
    dladdr((void *)cuInit, &mine);
    void *self = dlopen(mine.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = dlsym(self, name);
    if (!*function) *function = dlsym(self, symbol);
    if (found) *found = *function ? 0 : 1;
    return *function || (version + (int)flags < 0) ? OK : 500;
}

/* ---- for whoever stands in for TensorRT or NVMM, and for tests ---- */

/* The host's address of device memory, 0 where it is not all there. */
uint64_t standin_host(uint64_t address, uint64_t size) {
    pthread_mutex_lock(&lock);
    uint64_t host = (uint64_t)on_device(address, size);
    pthread_mutex_unlock(&lock);
    return host;
}

/* Put work on a stream as a kernel would be: it runs when the stream does, again at each launch of a graph. */
int standin_work(uint64_t stream, Work work, uint64_t argument) {
    ENTER(1);
    IF_FINE status = enqueue("a kernel", stream, (Op){WORK, (uint64_t)work, argument, 0, NULL});
    LEAVE;
}

int standin_capturing(uint64_t handle) {
    pthread_mutex_lock(&lock);
    Thing *stream = find(STREAM, handle);
    int capturing = stream && stream->capturing;
    pthread_mutex_unlock(&lock);
    return capturing;
}

/* Host memory of another's that the GPU can see: gives its device address. */
uint64_t standin_see(void *host, uint64_t size) {
    pthread_mutex_lock(&lock);
    Thing *seen = make(EXTERNAL, size);
    seen->host = host;
    pthread_mutex_unlock(&lock);
    return seen->handle;
}

int standin_unsee(uint64_t address) {
    pthread_mutex_lock(&lock);
    CUresult status = destroy("standin_unsee", EXTERNAL, address);
    pthread_mutex_unlock(&lock);
    return status;
}

/* An EGL image of a surface that was made visible at `address`; a block-linear one has no address for CUDA. */
void standin_image(uint64_t image, uint64_t address, uint32_t width, uint32_t height, uint32_t pitch, int block_linear) {
    pthread_mutex_lock(&lock);
    Thing *made = make(IMAGE, 1);
    made->handle = image;
    made->recorded = address;
    made->width = width;
    made->height = height;
    made->pitch = pitch;
    made->broken = block_linear;
    pthread_mutex_unlock(&lock);
}

int standin_drop_image(uint64_t image) {
    pthread_mutex_lock(&lock);
    for (Thing *thing = things; thing; thing = thing->next)
        if (thing->kind == RESOURCE && thing->image == image) refuse(ILLEGAL_ADDRESS, "a surface goes before its registration");
    CUresult status = destroy("standin_drop_image", IMAGE, image);
    pthread_mutex_unlock(&lock);
    return status;
}

void standin_complain(const char *text) { pthread_mutex_lock(&lock); refuse(0, "%s", text); pthread_mutex_unlock(&lock); }
void standin_fault(const char *name, long nth, int code) { snprintf(fault.name, sizeof fault.name, "%s", name); fault.nth = nth; fault.code = code; }
void standin_lose(int code) { lost = code; }
long standin_calls(const char *name) { return *counter(name); }
int standin_alive(int kind) { return alive[kind]; }
int standin_retained(void) { return retained; }
int standin_complaints(void) { return complaints; }
const char *standin_complaint(void) { return complaint; }
uint64_t standin_copied(int direction) { return copied[direction]; }

/* As if newly loaded; what is still alive is dropped. The context of other threads stays. */
void standin_reset(void) {
    pthread_mutex_lock(&lock);
    while (things) unmake(things);
    initialised = retained = lost = complaints = 0;
    current = 0;
    complaint[0] = 0;
    memset(&fault, 0, sizeof fault);
    memset(copied, 0, sizeof copied);
    memset(calls, 0, sizeof calls);
    pthread_mutex_unlock(&lock);
}
