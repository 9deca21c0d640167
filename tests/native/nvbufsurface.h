/* Our own description of NvBufSurface and CUeglFrame for the tests. -DL4T=35 (r35, r36) or -DL4T=38 (r38 and later). */
#ifndef EDGE_ALPR_TEST_NVBUFSURFACE_H
#define EDGE_ALPR_TEST_NVBUFSURFACE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t num_planes, width[4], height[4], pitch[4], offset[4], psize[4], bytesPerPix[4];
    void *_reserved[16];
} PlaneParams;

typedef struct {
    void *addr[4];
    void *eglImage;
#if L4T >= 38
    void *nvmmPtr, *cudaPtr;
#endif
    void *_reserved[4];
} MappedAddress;

typedef struct {
    void *basePtr, *dataPtr, *extMem, *mipmap;
    uint8_t _reserved[64];
} CudaBuffer;

typedef struct {
    uint32_t width, height, pitch;
    int colorFormat, layout;
    uint64_t bufferDesc;
    uint32_t dataSize;
    void *dataPtr;
    PlaneParams planeParams;
    MappedAddress mappedAddr;
    void *paramex;
#if L4T >= 38
    CudaBuffer *cudaBuffer;
    void *_reserved[4];
#else
    void *_reserved[3];
#endif
} Params;

typedef struct {
    uint32_t gpuId, batchSize, numFilled;
    bool isContiguous;
    int memType;
    Params *surfaceList;
#if L4T >= 38
    bool isImportedBuf;
#endif
    void *_reserved[4];
} Surface;

typedef struct {
    void *pPitch[3];
    uint32_t width, height, depth, pitch, planeCount, numChannels;
    int frameType, eglColorFormat, cuFormat;
} EglFrame;

/* The figures that were seen on boards and in NVIDIA's headers. */
static_assert(sizeof(PlaneParams) == 232, "planes");
static_assert(offsetof(Params, colorFormat) == 12 && offsetof(Params, layout) == 16, "params");
static_assert(offsetof(Params, bufferDesc) == 24 && offsetof(Params, dataSize) == 32, "params");
static_assert(offsetof(Params, dataPtr) == 40 && offsetof(Params, planeParams) == 48, "params");
static_assert(offsetof(Params, mappedAddr) == 280 && offsetof(MappedAddress, eglImage) == 32, "mapped");
static_assert(offsetof(Surface, memType) == 16 && offsetof(Surface, surfaceList) == 24, "surface");
static_assert(sizeof(EglFrame) == 64 && offsetof(EglFrame, pitch) == 36 && offsetof(EglFrame, frameType) == 48, "frame");
#if L4T >= 38
static_assert(sizeof(Surface) == 72 && sizeof(Params) == 416 && sizeof(MappedAddress) == 88, "sizes");
static_assert(offsetof(Params, paramex) == 368 && offsetof(Params, cudaBuffer) == 376, "params");
static_assert(offsetof(CudaBuffer, dataPtr) == 8, "buffer");
#else
static_assert(sizeof(Surface) == 64 && sizeof(Params) == 384 && sizeof(MappedAddress) == 72, "sizes");
static_assert(offsetof(Params, paramex) == 352 && offsetof(Surface, _reserved) == 32, "params");
#endif

#endif
