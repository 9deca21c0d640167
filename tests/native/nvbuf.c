/* A stand-in for libnvbufsurface and for the calls of libcuda that take its surfaces. It has surfaces in host memory,
 * hands out the same addresses as "device" pointers, and complains about every call out of order. A surface that goes
 * back is overwritten, as the image unit would overwrite it. Joined to another stand-in for libcuda, the addresses are
 * the ones that it gives, and its calls are the ones to use. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvbufsurface.h"

#define OVERWRITTEN 0xDB
#define CUDA_ERROR_INVALID_VALUE 1
#define CUDA_ERROR_UNKNOWN 999
#define MOST 256
#define LEAD 256 /* the first plane does not begin with the memory */

typedef struct {
    Surface surface; /* first: a surface's address is its item's */
    Params params;
    CudaBuffer buffer;
    uint64_t device; /* where CUDA sees its memory */
    bool taken, mapped;
    uint8_t *shown; /* what the processor sees: the pixels only once it was synced */
    void *resource;
} Item;

typedef struct {
    Item *item;
    void *image;
} Resource;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char complaints[8192];
static Item *items[MOST];
static uint64_t next_desc = 100;
static int registered, calls[16], fail_at[16];
static unsigned turn;
static __thread void *current;

enum { MAP, UNMAP, REGISTER, FRAME, UNREGISTER, CURRENT, SHOW, SYNC, HIDE, FUNCTIONS };
static const char *names[FUNCTIONS] = {
    "NvBufSurfaceMapEglImage", "NvBufSurfaceUnMapEglImage", "cuGraphicsEGLRegisterImage",
    "cuGraphicsResourceGetMappedEglFrame", "cuGraphicsUnregisterResource", "cuCtxSetCurrent",
    "NvBufSurfaceMap", "NvBufSurfaceSyncForCpu", "NvBufSurfaceUnMap",
};

static void complain(const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    strncat(complaints, line, sizeof complaints - strlen(complaints) - 2);
    strcat(complaints, "\n");
}

/* What a stand-in for libcuda is told: memory that it sees, EGL images, and that they are no more. */
static struct {
    uint64_t (*see)(void *host, uint64_t size);
    int (*unsee)(uint64_t address);
    void (*image)(uint64_t image, uint64_t address, uint32_t width, uint32_t height, uint32_t pitch, int block_linear);
    int (*drop_image)(uint64_t image);
} joined;

void nvbuf_join(void *see, void *unsee, void *image, void *drop_image)
{
    joined.see = see;
    joined.unsee = unsee;
    joined.image = image;
    joined.drop_image = drop_image;
}

/* Counts a call; true where it was told to fail. */
static bool fails(int function)
{
    return ++calls[function] == fail_at[function];
}

static Item *item_of(void *surface, const char *who)
{
    for (int i = 0; i < MOST; i++)
        if (items[i] && items[i] == surface)
            return items[i];
    complain("%s: %p is no surface", who, surface);
    return NULL;
}

/* For the tests. */

const char *nvbuf_complaints(void) { return complaints; }
int nvbuf_registered(void) { return registered; }

int nvbuf_count(const char *what) /* "surfaces", "taken", "mapped", "shown" */
{
    int count = 0;
    for (int i = 0; i < MOST; i++)
        if (items[i])
            count += !strcmp(what, "taken")    ? items[i]->taken
                     : !strcmp(what, "mapped") ? items[i]->mapped
                     : !strcmp(what, "shown")  ? items[i]->shown != NULL
                                               : 1;
    return count;
}

int nvbuf_calls(const char *function)
{
    for (int i = 0; i < FUNCTIONS; i++)
        if (!strcmp(names[i], function))
            return calls[i];
    return -1;
}

/* From now on, the nth call of a function fails; the others do not. */
void nvbuf_fail(const char *function, int nth)
{
    for (int i = 0; i < FUNCTIONS; i++)
        if (!strcmp(names[i], function))
            fail_at[i] = calls[i] + nth;
}

void nvbuf_reset(void)
{
    complaints[0] = 0;
    turn = 0;
    memset(calls, 0, sizeof calls);
    memset(fail_at, 0, sizeof fail_at);
}

void *nvbuf_new(int width, int height, int pitch, int thor)
{
    pthread_mutex_lock(&lock);
    int place = 0;
    while (place < MOST && items[place])
        place++;
    Item *item = calloc(1, sizeof *item);
    if (place == MOST || !item)
        abort();
    items[place] = item;
    int bytes = LEAD + pitch * (height + (height + 1) / 2);
    Params *params = &item->params;
    item->surface = (Surface){.batchSize = 1, .memType = 4, .surfaceList = params};
    params->width = width;
    params->height = height;
    params->pitch = pitch;
    params->colorFormat = 6;
    params->bufferDesc = next_desc++;
    params->dataSize = bytes;
    params->planeParams.num_planes = 2;
    for (int plane = 0; plane < 2; plane++) {
        params->planeParams.width[plane] = plane ? (width + 1) / 2 : width;
        params->planeParams.height[plane] = plane ? (height + 1) / 2 : height;
        params->planeParams.pitch[plane] = pitch;
        params->planeParams.offset[plane] = LEAD + plane * pitch * height;
        params->planeParams.psize[plane] = pitch * params->planeParams.height[plane];
        params->planeParams.bytesPerPix[plane] = 1 + plane;
    }
    params->dataPtr = aligned_alloc(256, (bytes + 255) / 256 * 256);
    item->device = joined.see ? joined.see(params->dataPtr, bytes) : (uint64_t)params->dataPtr;
    item->buffer.dataPtr = (void *)item->device;
#if L4T >= 38
    params->cudaBuffer = thor ? &item->buffer : NULL;
#else
    (void)thor;
#endif
    pthread_mutex_unlock(&lock);
    return item;
}

Params *nvbuf_params(void *surface) { return &((Item *)surface)->params; }

/* Takes the next free surface of a list in turn; NULL where all are taken. */
void *nvbuf_take(void **list, int count)
{
    void *found = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count && !found; i++, turn++)
        if (!((Item *)list[turn % count])->taken) {
            found = list[turn % count];
            ((Item *)found)->taken = true;
        }
    pthread_mutex_unlock(&lock);
    return found;
}

/* A GstMiniObjectNotify of the buffer: its surface goes back. */
void nvbuf_give_back(void *surface, void *buffer)
{
    (void)buffer;
    pthread_mutex_lock(&lock);
    Item *item = item_of(surface, "give back");
    if (item && !item->taken)
        complain("a surface went back twice");
    if (item && item->shown)
        complain("a surface went back while the processor saw it");
    if (item) {
        memset(item->params.dataPtr, OVERWRITTEN, item->params.dataSize);
        item->taken = false;
    }
    pthread_mutex_unlock(&lock);
}

/* A GDestroyNotify of the memory. */
void nvbuf_destroy(void *surface)
{
    pthread_mutex_lock(&lock);
    Item *item = item_of(surface, "destroy");
    if (item) {
        if (item->taken)
            complain("a surface was destroyed while it was lent");
        if (item->resource)
            complain("a surface was destroyed while it was registered");
        if (item->mapped)
            complain("a surface was destroyed while it was mapped");
        if (item->shown)
            complain("a surface was destroyed while the processor saw it");
        if (joined.unsee && joined.unsee(item->device))
            complain("the memory of a surface could not be hidden from CUDA");
        for (int i = 0; i < MOST; i++)
            if (items[i] == item)
                items[i] = NULL;
        free(item->params.dataPtr);
        free(item);
    }
    pthread_mutex_unlock(&lock);
}

/* libnvbufsurface. */

int NvBufSurfaceMapEglImage(Surface *surface, int index)
{
    pthread_mutex_lock(&lock);
    Item *item = item_of(surface, names[MAP]);
    bool bad = fails(MAP) || !item || index != 0;
    if (item && item->mapped) {
        complain("a surface was mapped twice");
        bad = true;
    }
    if (!bad) {
        item->mapped = true;
        item->params.mappedAddr.eglImage = malloc(1);
        Params *p = &item->params;
        if (joined.image)
            joined.image((uint64_t)p->mappedAddr.eglImage, item->device + p->planeParams.offset[0], p->width, p->height,
                         p->pitch, p->layout || p->paramex);
    }
    pthread_mutex_unlock(&lock);
    return bad ? -1 : 0;
}

int NvBufSurfaceUnMapEglImage(Surface *surface, int index)
{
    pthread_mutex_lock(&lock);
    Item *item = item_of(surface, names[UNMAP]);
    bool bad = fails(UNMAP) || !item || index != 0;
    if (item && !item->mapped) {
        complain("a surface was unmapped that is not mapped");
        bad = true;
    }
    if (item && item->resource)
        complain("a surface was unmapped while it was registered");
    if (!bad) {
        item->mapped = false;
        if (joined.drop_image && joined.drop_image((uint64_t)item->params.mappedAddr.eglImage))
            complain("an image was unmapped while it was registered");
        free(item->params.mappedAddr.eglImage);
        item->params.mappedAddr.eglImage = NULL;
    }
    pthread_mutex_unlock(&lock);
    return bad ? -1 : 0;
}

/* For the processor: READ (0), all planes (-1). What is seen before SyncForCpu, or after UnMap, is not the picture. */

int NvBufSurfaceMap(Surface *surface, int index, int plane, int type)
{
    pthread_mutex_lock(&lock);
    Item *item = item_of(surface, names[SHOW]);
    bool bad = fails(SHOW) || !item || index != 0 || plane != -1 || type != 0;
    if (item && item->shown) {
        complain("a surface was mapped for the processor twice");
        bad = true;
    }
    if (!bad) {
        Params *p = &item->params;
        item->shown = malloc(p->dataSize);
        memset(item->shown, OVERWRITTEN, p->dataSize);
        for (int i = 0; i < 2; i++)
            p->mappedAddr.addr[i] = item->shown + p->planeParams.offset[i];
    }
    pthread_mutex_unlock(&lock);
    return bad ? -1 : 0;
}

int NvBufSurfaceSyncForCpu(Surface *surface, int index, int plane)
{
    pthread_mutex_lock(&lock);
    Item *item = item_of(surface, names[SYNC]);
    bool bad = fails(SYNC) || !item || index != 0 || plane != -1;
    if (item && !item->shown) {
        complain("a surface was synced that the processor does not see");
        bad = true;
    }
    if (!bad)
        memcpy(item->shown, item->params.dataPtr, item->params.dataSize);
    pthread_mutex_unlock(&lock);
    return bad ? -1 : 0;
}

int NvBufSurfaceUnMap(Surface *surface, int index, int plane)
{
    pthread_mutex_lock(&lock);
    Item *item = item_of(surface, names[HIDE]);
    bool bad = fails(HIDE) || !item || index != 0 || plane != -1;
    if (item && !item->shown) {
        complain("a surface was unmapped that the processor does not see");
        bad = true;
    }
    if (!bad) {
        memset(item->shown, OVERWRITTEN, item->params.dataSize);
        free(item->shown);
        item->shown = NULL;
        memset(item->params.mappedAddr.addr, 0, sizeof item->params.mappedAddr.addr);
    }
    pthread_mutex_unlock(&lock);
    return bad ? -1 : 0;
}

/* libcuda. */

static void need_context(int function)
{
    if (!current)
        complain("%s without a current context", names[function]);
}

int cuCtxSetCurrent(void *context)
{
    pthread_mutex_lock(&lock);
    bool bad = fails(CURRENT);
    if (!bad)
        current = context;
    pthread_mutex_unlock(&lock);
    return bad ? CUDA_ERROR_UNKNOWN : 0;
}

int cuGraphicsEGLRegisterImage(void **resource, void *image, unsigned flags)
{
    pthread_mutex_lock(&lock);
    need_context(REGISTER);
    Item *item = NULL;
    for (int i = 0; i < MOST; i++)
        if (items[i] && image && items[i]->params.mappedAddr.eglImage == image)
            item = items[i];
    bool bad = fails(REGISTER) || !item || flags != 0;
    if (!item)
        complain("an image was registered that is not mapped");
    if (item && item->resource) {
        complain("a surface was registered twice");
        bad = true;
    }
    if (!bad) {
        Resource *made = malloc(sizeof *made);
        *made = (Resource){item, image};
        item->resource = *resource = made;
        registered++;
    }
    pthread_mutex_unlock(&lock);
    return bad ? CUDA_ERROR_INVALID_VALUE : 0;
}

static Item *item_with(void *resource, int function)
{
    for (int i = 0; i < MOST; i++)
        if (items[i] && resource && items[i]->resource == resource)
            return items[i];
    complain("%s: not a registered resource", names[function]);
    return NULL;
}

int cuGraphicsResourceGetMappedEglFrame(EglFrame *frame, void *resource, unsigned index, unsigned mip)
{
    pthread_mutex_lock(&lock);
    need_context(FRAME);
    Item *item = item_with(resource, FRAME);
    bool bad = fails(FRAME) || !item || index != 0 || mip != 0;
    if (!bad) {
        Params *params = &item->params;
        bool rows = params->layout == 0 && !params->paramex; /* a test marks with it a surface that CUDA sees otherwise */
        memset(frame, 0, sizeof *frame);
        frame->width = params->width;
        frame->height = params->height;
        frame->depth = 1;
        frame->pitch = params->pitch;
        frame->planeCount = 2;
        frame->frameType = rows;
        for (int plane = 0; plane < 2; plane++)
            frame->pPitch[plane] = rows ? (void *)(item->device + params->planeParams.offset[plane]) : NULL;
    }
    pthread_mutex_unlock(&lock);
    return bad ? CUDA_ERROR_INVALID_VALUE : 0;
}

int cuGraphicsUnregisterResource(void *resource)
{
    pthread_mutex_lock(&lock);
    need_context(UNREGISTER);
    Item *item = item_with(resource, UNREGISTER);
    bool bad = fails(UNREGISTER) || !item;
    if (!bad) {
        free(item->resource);
        item->resource = NULL;
        registered--;
    }
    pthread_mutex_unlock(&lock);
    return bad ? CUDA_ERROR_UNKNOWN : 0;
}
