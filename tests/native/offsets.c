/* Prints "structure field offset size" for each field, and "structure - 0 size" for each whole. */
#include <stdio.h>

#include "nvbufsurface.h"

#define FIELD(type, name) printf(#type " " #name " %zu %zu\n", offsetof(type, name), sizeof(((type *)0)->name));
#define WHOLE(type) printf(#type " - 0 %zu\n", sizeof(type));

int main(void)
{
    WHOLE(PlaneParams) FIELD(PlaneParams, num_planes) FIELD(PlaneParams, width) FIELD(PlaneParams, height)
    FIELD(PlaneParams, pitch) FIELD(PlaneParams, offset) FIELD(PlaneParams, psize) FIELD(PlaneParams, bytesPerPix)
    WHOLE(MappedAddress) FIELD(MappedAddress, addr) FIELD(MappedAddress, eglImage)
    WHOLE(Params) FIELD(Params, width) FIELD(Params, height) FIELD(Params, pitch) FIELD(Params, colorFormat)
    FIELD(Params, layout) FIELD(Params, bufferDesc) FIELD(Params, dataSize) FIELD(Params, dataPtr)
    FIELD(Params, planeParams) FIELD(Params, mappedAddr) FIELD(Params, paramex)
    WHOLE(Surface) FIELD(Surface, gpuId) FIELD(Surface, batchSize) FIELD(Surface, numFilled)
    FIELD(Surface, isContiguous) FIELD(Surface, memType) FIELD(Surface, surfaceList)
    WHOLE(CudaBuffer) FIELD(CudaBuffer, basePtr) FIELD(CudaBuffer, dataPtr)
    FIELD(CudaBuffer, extMem) FIELD(CudaBuffer, mipmap)
#if L4T >= 38
    FIELD(MappedAddress, nvmmPtr) FIELD(MappedAddress, cudaPtr) FIELD(Params, cudaBuffer)
#endif
    WHOLE(EglFrame) FIELD(EglFrame, pPitch) FIELD(EglFrame, width) FIELD(EglFrame, height) FIELD(EglFrame, depth)
    FIELD(EglFrame, pitch) FIELD(EglFrame, planeCount) FIELD(EglFrame, numChannels) FIELD(EglFrame, frameType)
    FIELD(EglFrame, eglColorFormat) FIELD(EglFrame, cuFormat)
    return 0;
}
