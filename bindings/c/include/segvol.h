/*
 * segvol.h: segments anything in a CT scan that you can name, click or box.
 *
 * Research software, not a medical device. Do not use it for diagnosis or treatment.
 *
 * From files to a file, without error checks (examples/segment.c has them):
 *
 *     SegvolModel *model;
 *     SegvolVolume *volume;
 *     SegvolStudy *study;
 *     SegvolMask *mask;
 *     SegvolPrompt prompt;
 *
 *     segvol_model_open("bundle", NULL, &model);
 *     segvol_volume_open("ct.nii.gz", &volume);
 *     segvol_study_new(model, volume, NULL, &study);
 *     segvol_prompt_init(&prompt, sizeof prompt);
 *     prompt.text = "liver";
 *     segvol_study_segment(study, &prompt, &mask);
 *     segvol_mask_save(mask, "liver.nii.gz");
 *
 *     segvol_mask_free(mask);
 *     segvol_study_free(study);
 *     segvol_volume_free(volume);
 *     segvol_model_free(model);
 *
 * These rules hold for every function.
 *
 * Errors
 *     A function that can fail returns a SegvolStatus: SEGVOL_STATUS_OK (0) or the kind of failure. segvol_last_error()
 *     then returns a message that names the argument, what was expected and what was found. Each thread has its own
 *     message. The comment of a function lists its statuses without the prefix SEGVOL_STATUS_. Four more can come from
 *     any function: NULL, UTF8, INTERNAL, and ARGUMENT for a pointer that is not aligned.
 *
 * Outputs
 *     A function writes its outputs only if it succeeds. If it fails, `*model`, `*mask` and so on keep their old values.
 *
 * Ownership
 *     If the caller owns an output, the comment says so and names the function that frees it. Call that function exactly
 *     once. Every free function accepts NULL. Handles may be freed in any order: each keeps alive what it needs of the
 *     others. The library keeps no pointer of the caller after a function has returned, except those that were passed to
 *     segvol_log_set().
 *
 * Threads
 *     "Any thread" means: every thread may call the function, and several threads may call it at the same time, also with
 *     the same handle. The one exception: do not free a handle while another thread uses it. Models, volumes, results and
 *     masks never change. A study changes only its cache of image embeddings, which a lock protects.
 *
 * Processes
 *     If a process has used the library, a child that it makes with fork() has none of the library's threads. Such a child
 *     must not call any function of this header, free functions included. It may run another program with exec(), and it may end
 *     with exit() or _exit(). For exit() to end, ONNX Runtime's telemetry must be off: otherwise a destructor of ONNX Runtime
 *     1.32 waits forever for a thread that the child does not have. This library therefore turns telemetry off when it loads
 *     ONNX Runtime, unless the environment variable ORT_DISABLE_TELEMETRY is set to something else. To use the library in
 *     several processes, fork first and open the model in each child.
 *
 * Strings
 *     Strings and paths are UTF-8 and end with a zero byte.
 *
 * Sizes of structs
 *     SegvolOptions, SegvolReadOptions, SegvolBuffer, SegvolPrompt, SegvolCallbacks and the statistics begin with `size`.
 *     Before you set a field, call the struct's init function with its sizeof. Structs can then grow in later versions: a
 *     program that was compiled for an older library runs with a newer one. Fields that hold an enum have the type int32_t,
 *     so that the library can check every value.
 *
 * Pointers
 *     A pointer must be valid, or NULL where the comment allows it. The library cannot detect a handle that was already
 *     freed, or memory that is shorter than the caller says.
 *
 * Callbacks
 *     A callback receives the `user_data` that was passed with it. It must return: it must not call longjmp(), and no C++
 *     exception may leave it. It may call this library; the one exception is segvol_log_set() inside a SegvolLog. A
 *     SegvolProgress and a SegvolCoarse answer whether the call continues: 0 to continue, any other number to stop. A
 *     SegvolLog has no answer.
 *
 * ONNX Runtime
 *     Its library is loaded when the first model is opened. `library` of SegvolOptions says where it is looked for.
 *
 * Axes and units
 *     i, j, k are the axes of the scan as it is stored, counted from 0. Lengths are millimetres, intensities are
 *     Hounsfield units. The maximum of a box is inclusive.
 *
 * Panics
 *     A panic inside the library does not reach the caller: the function returns INTERNAL.
 *
 * Memory
 *     Before the library allocates memory for a scan, it checks that there is enough, and returns MEMORY otherwise. If a
 *     small allocation fails, the process ends, as in every Rust program.
 *
 * This file is generated from bindings/c/src with cbindgen.
 */

#ifndef SEGVOL_H
#define SEGVOL_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of the binary interface that this header describes. A library with another number does not fit the
 * header.
 */
#define SEGVOL_ABI_VERSION 1

/**
 * The major version of the library that this header belongs to.
 */
#define SEGVOL_VERSION_MAJOR 0

/**
 * The minor version of the library that this header belongs to.
 */
#define SEGVOL_VERSION_MINOR 1

/**
 * The patch version of the library that this header belongs to.
 */
#define SEGVOL_VERSION_PATCH 0

/**
 * The result of a call. A number never changes its meaning and is never reused. Later versions may add numbers.
 */
enum SegvolStatus
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The call succeeded, and the outputs are written.
     */
    SEGVOL_STATUS_OK = 0,
    /**
     * A fault in this library. Outputs are not written. Please report the message.
     */
    SEGVOL_STATUS_INTERNAL = 1,
    /**
     * A pointer is NULL that must not be.
     */
    SEGVOL_STATUS_NULL = 2,
    /**
     * An argument has a value that is not allowed, such as the size of a struct, an enum or a flag.
     */
    SEGVOL_STATUS_ARGUMENT = 3,
    /**
     * A string is not UTF-8.
     */
    SEGVOL_STATUS_UTF8 = 4,
    /**
     * An index is too large: it must be less than the number of objects.
     */
    SEGVOL_STATUS_INDEX = 5,
    /**
     * The caller's buffer is too small, or its elements are too small for the labels.
     */
    SEGVOL_STATUS_BUFFER = 6,
    /**
     * A callback called a function that it must not call.
     */
    SEGVOL_STATUS_CALLBACK = 7,
    /**
     * An option is outside its range.
     */
    SEGVOL_STATUS_OPTION = 8,
    /**
     * The bundle does not exist, is damaged or incomplete, or does not contain the requested precision.
     */
    SEGVOL_STATUS_BUNDLE = 20,
    /**
     * The ONNX Runtime library is missing or too old, or the process has already loaded another one.
     */
    SEGVOL_STATUS_LIBRARY = 21,
    /**
     * There is no provider, or no stage, with that name.
     */
    SEGVOL_STATUS_PROVIDER_UNKNOWN = 22,
    /**
     * The loaded ONNX Runtime was built without the provider.
     */
    SEGVOL_STATUS_PROVIDER_MISSING = 23,
    /**
     * The provider cannot be started, or cannot run any part of a stage.
     */
    SEGVOL_STATUS_PROVIDER_FAILED = 24,
    /**
     * The provider does not have that option, or does not accept that value.
     */
    SEGVOL_STATUS_PROVIDER_OPTION = 25,
    /**
     * The file of a scan cannot be read.
     */
    SEGVOL_STATUS_FILE = 40,
    /**
     * A shape has an axis without voxels, or too many voxels in total.
     */
    SEGVOL_STATUS_SHAPE = 41,
    /**
     * The strides do not fit the shape or the element type.
     */
    SEGVOL_STATUS_STRIDE = 42,
    /**
     * There is no element type with that number, or the buffer is not aligned for the type.
     */
    SEGVOL_STATUS_ELEMENT = 43,
    /**
     * The affine, spacing, direction or origin is missing or not finite, or the three axes are not independent.
     */
    SEGVOL_STATUS_AFFINE = 44,
    /**
     * The intensities cannot be normalised: one is NaN or infinite, or all are equal.
     */
    SEGVOL_STATUS_INTENSITY = 45,
    /**
     * A prompt is empty, has a coordinate that is NaN or infinite, or has a box whose minimum exceeds its maximum.
     */
    SEGVOL_STATUS_PROMPT = 60,
    /**
     * A point or box lies outside the scan.
     */
    SEGVOL_STATUS_OUTSIDE_SCAN = 61,
    /**
     * The name of an object is blank, too long, or refused by the model's tokenizer.
     */
    SEGVOL_STATUS_TEXT = 62,
    /**
     * The progress callback stopped the call. The study can still be used.
     */
    SEGVOL_STATUS_CANCELLED = 80,
    /**
     * ONNX Runtime failed while running, for example because it could not allocate memory.
     */
    SEGVOL_STATUS_RUN = 81,
    /**
     * A stage's output contains an infinity or NaN.
     */
    SEGVOL_STATUS_NOT_FINITE = 82,
    /**
     * A mask cannot be written: because of the folder, the disk, a write-protected file, or a name that does not end in .nii
     * or .nii.gz; or the file is the scan's own.
     */
    SEGVOL_STATUS_WRITE = 83,
    /**
     * There is not enough memory.
     */
    SEGVOL_STATUS_MEMORY = 84,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolStatus SegvolStatus;
#else
typedef int32_t SegvolStatus;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The type of one voxel in memory.
 */
enum SegvolElement
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * uint8_t
     */
    SEGVOL_ELEMENT_U8 = 1,
    /**
     * int16_t
     */
    SEGVOL_ELEMENT_I16 = 2,
    /**
     * uint16_t
     */
    SEGVOL_ELEMENT_U16 = 3,
    /**
     * int32_t
     */
    SEGVOL_ELEMENT_I32 = 4,
    /**
     * float
     */
    SEGVOL_ELEMENT_F32 = 5,
    /**
     * double
     */
    SEGVOL_ELEMENT_F64 = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolElement SegvolElement;
#else
typedef int32_t SegvolElement;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which affine of a NIfTI file gives the position of its voxels.
 *
 * A header can state two: the sform and the qform.
 */
enum SegvolAffine
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The sform, or the qform if the sform is missing or cannot be used. A file in which the two mirror each other is an
     * error.
     */
    SEGVOL_AFFINE_DEFAULT = 0,
    /**
     * The sform.
     */
    SEGVOL_AFFINE_SFORM = 1,
    /**
     * The qform.
     */
    SEGVOL_AFFINE_QFORM = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolAffine SegvolAffine;
#else
typedef int32_t SegvolAffine;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a buffer gives the position of its voxels in the patient, in millimetres.
 *
 * RAS: the axes point to the patient's right, front (anterior) and head (superior), as in NIfTI. LPS: they point to
 * the left, back (posterior) and head, as in DICOM and ITK.
 */
enum SegvolGeometry
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * In `affine`, as RAS.
     */
    SEGVOL_GEOMETRY_AFFINE_RAS = 1,
    /**
     * In `affine`, as LPS.
     */
    SEGVOL_GEOMETRY_AFFINE_LPS = 2,
    /**
     * In `spacing`, `direction` and `origin`, as RAS.
     */
    SEGVOL_GEOMETRY_PARTS_RAS = 3,
    /**
     * In `spacing`, `direction` and `origin`, as LPS. DICOM and ITK images have these.
     */
    SEGVOL_GEOMETRY_PARTS_LPS = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolGeometry SegvolGeometry;
#else
typedef int32_t SegvolGeometry;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The axes in which the model sees a scan.
 */
enum SegvolOrientation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The patient's axes: the mask does not depend on the order in which the scan is stored.
     */
    SEGVOL_ORIENTATION_RAS = 0,
    /**
     * The axes as they are stored, as in SegVol's released demo.
     */
    SEGVOL_ORIENTATION_STORED = 1,
    /**
     * The default: the axes that the model was trained with, or the patient's if its bundle does not say.
     */
    SEGVOL_ORIENTATION_MODEL = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolOrientation SegvolOrientation;
#else
typedef int32_t SegvolOrientation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whose masks are wanted: this toolkit's, or exactly those of a released program. All but DEFAULT and RELEASED see the axes as they
 * are stored: the orientation must be SEGVOL_ORIENTATION_MODEL or SEGVOL_ORIENTATION_STORED.
 */
enum SegvolProfile
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The toolkit's own choice, in which objects share windows.
     */
    SEGVOL_PROFILE_DEFAULT = 0,
    /**
     * Exactly as in SegVol's released demo. The demo sees the axes as they are stored; set the orientation for that.
     */
    SEGVOL_PROFILE_RELEASED = 1,
    /**
     * Exactly as in Hugging Face's file, that is as RELEASED with the axes as they are stored.
     */
    SEGVOL_PROFILE_HUGGINGFACE = 2,
    /**
     * As HUGGINGFACE, but the zoom-out image is resized by "nearest", as in the file's pull request 4 and in ModelScope's copy.
     */
    SEGVOL_PROFILE_HUGGINGFACE_NEAREST = 3,
    /**
     * Exactly as in the entry for the CVPR 2025 challenge (SegFM): one box for each object, neither texts nor points.
     */
    SEGVOL_PROFILE_SEGFM = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolProfile SegvolProfile;
#else
typedef int32_t SegvolProfile;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How much the windows of an object overlap. More overlap is more windows, and nothing else.
 */
enum SegvolEffort
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No overlap.
     */
    SEGVOL_EFFORT_FAST = 0,
    /**
     * A quarter of a window.
     */
    SEGVOL_EFFORT_BALANCED = 1,
    /**
     * Half of a window.
     */
    SEGVOL_EFFORT_EXACT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolEffort SegvolEffort;
#else
typedef int32_t SegvolEffort;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The floating-point type to which the numbers of a file are rounded.
 */
enum SegvolFloatType
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing is rounded.
     */
    SEGVOL_FLOAT_TYPE_FLOAT32 = 0,
    /**
     * The numbers are those of float16, in a float32 file, because NIfTI has no float16.
     */
    SEGVOL_FLOAT_TYPE_FLOAT16 = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolFloatType SegvolFloatType;
#else
typedef int32_t SegvolFloatType;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The coordinate system of a prompt.
 */
enum SegvolSpace
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Voxels (i, j, k) of the scan as it is stored, counted from 0. Whole numbers are the centres of voxels.
     */
    SEGVOL_SPACE_VOXEL = 0,
    /**
     * Millimetres to the patient's right, front and head: the world coordinates of NIfTI.
     */
    SEGVOL_SPACE_RAS = 1,
    /**
     * Millimetres to the patient's left, back and head: the world coordinates of DICOM and ITK.
     */
    SEGVOL_SPACE_LPS = 2,
    /**
     * Voxels (d, h, w) of the model's zoom-out window, as in SegVol's released code.
     */
    SEGVOL_SPACE_WINDOW = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolSpace SegvolSpace;
#else
typedef int32_t SegvolSpace;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The level of a log message. A program that asks for a level also gets the more severe ones, which have lower
 * numbers.
 */
enum SegvolLogLevel
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No messages.
     */
    SEGVOL_LOG_LEVEL_OFF = 0,
    /**
     * Errors.
     */
    SEGVOL_LOG_LEVEL_ERROR = 1,
    /**
     * Possible problems.
     */
    SEGVOL_LOG_LEVEL_WARN = 2,
    /**
     * Decisions, such as which providers `auto` skipped.
     */
    SEGVOL_LOG_LEVEL_INFO = 3,
    /**
     * Details of each step.
     */
    SEGVOL_LOG_LEVEL_DEBUG = 4,
    /**
     * All messages.
     */
    SEGVOL_LOG_LEVEL_TRACE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolLogLevel SegvolLogLevel;
#else
typedef int32_t SegvolLogLevel;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * One label per voxel, on the scan's grid; 0 is background.
 */
typedef struct SegvolMask SegvolMask;

/**
 * An open bundle: its ONNX Runtime sessions on an execution provider.
 */
typedef struct SegvolModel SegvolModel;

/**
 * The execution providers of ONNX Runtime, and whether each can be used.
 */
typedef struct SegvolProviders SegvolProviders;

/**
 * The objects that one call has segmented.
 *
 * A result shares the image and the embeddings of its study. Their memory is freed with the last handle that uses it.
 */
typedef struct SegvolResult SegvolResult;

/**
 * One scan that is ready for prompts.
 *
 * A study caches the image embeddings of the windows that it has encoded. A second prompt therefore takes a small part
 * of the time of the first.
 */
typedef struct SegvolStudy SegvolStudy;

/**
 * A scan: its intensities, and the position of its voxels in the patient.
 */
typedef struct SegvolVolume SegvolVolume;

/**
 * Options for opening a bundle and for segmenting scans.
 *
 * Initialise it with segvol_options_init(), which sets all defaults.
 */
typedef struct SegvolOptions {
    /**
     * Set by segvol_options_init().
     */
    size_t size;
    /**
     * The execution provider: "cpu", "cuda", "tensorrt", "openvino", "coreml", "directml", "rocm", "migraphx",
     * "xnnpack" or "webgpu". NULL or "auto" for the best one that works.
     */
    const char *provider;
    /**
     * The precision to run, which the bundle must contain: "fp32", "fp16" or "int8". NULL for the one that suits the
     * provider best.
     */
    const char *precision;
    /**
     * Path of the ONNX Runtime library, or of a folder that has it. NULL for the library that this library has already
     * loaded, else what the environment variable ORT_DYLIB_PATH names (a file or a folder), else the first that is found
     * beside libsegvol.so, beside the program, in ../lib if the program is in a folder bin, in
     * $SEGVOL_HOME/onnxruntime/FLAVOUR or that of the user's data folder, in .onnxruntime/FLAVOUR of the working folder (if
     * no other user can have put it there), or where the dynamic loader looks. FLAVOUR is openvino or gpu if `provider` or
     * `stage_providers` need it, else cpu, openvino or gpu. A folder has libonnxruntime.so or one libonnxruntime.so.1*. With
     * the static library, "beside libsegvol.so" is beside the program. A process can load only one.
     */
    const char *library;
    /**
     * Options of the provider, each "KEY=VALUE" or "PROVIDER.KEY=VALUE", such as "cuda.device=1". May be NULL if there
     * are none.
     */
    const char *const *provider_options;
    /**
     * Number of provider options.
     */
    size_t provider_options_len;
    /**
     * Other providers for single stages, each "STAGE=PROVIDER", such as "mask_decoder=cpu". May be NULL if there are
     * none.
     */
    const char *const *stage_providers;
    /**
     * Number of stage providers.
     */
    size_t stage_providers_len;
    /**
     * Number of threads per graph; 0 for one per core that this process may use: its affinity, the cpuset and the quota of its
     * control groups count.
     */
    size_t threads;
    /**
     * Maximum size of a study's cache of image embeddings, in bytes; 2 GiB by default. With a smaller cache, more
     * windows are encoded again; the result is the same.
     */
    size_t cache_bytes;
    /**
     * The least overlap of neighbouring windows of an object along each axis, as a fraction of the window: 0 to 0.95. -1 (the
     * default) for that of `effort`, or for 0.5 with the profile of a released program.
     */
    double overlap;
    /**
     * 1 (the default) to run the zoom-in pass, 0 for a fast but coarse mask.
     */
    int32_t zoom_in;
    /**
     * The axes in which the model sees a scan: a SegvolOrientation.
     */
    int32_t orientation;
    /**
     * How the windows and prompts of the zoom-in pass are chosen: a SegvolProfile.
     */
    int32_t profile;
    /**
     * Must be 0.
     */
    int32_t reserved;
    /**
     * Other axes in which the model sees a scan: three letters such as "LPS" that say where each axis goes (right or left,
     * anterior or posterior, superior or inferior). NULL for those of `orientation`, which must be SEGVOL_ORIENTATION_MODEL if
     * this is set.
     */
    const char *axes;
    /**
     * Path of a folder for image embeddings: a later study of the same scan reads them instead of encoding its windows again, also
     * in another process. The folder is made if it does not exist, and can be deleted at any time. It is as private as the scan.
     * NULL (the default) for no folder.
     */
    const char *embeddings;
    /**
     * Maximum size of that folder, in bytes; 20 GiB by default. The least recently used embeddings are deleted first.
     */
    uint64_t embeddings_bytes;
    /**
     * How much the windows of an object overlap, if `overlap` is -1: a SegvolEffort. SEGVOL_EFFORT_BALANCED by default. The profiles
     * of released programs have no effort.
     */
    int32_t effort;
    /**
     * 1 to give each object the windows that it would get alone, so that its mask does not depend on other objects and calls; 0
     * (the default) to let objects share windows.
     */
    int32_t independent;
    /**
     * The probability above which a voxel is in a mask: more than 0 and less than 1, 0.5 by default. It changes no logit.
     */
    double threshold;
} SegvolOptions;

/**
 * How a file is read.
 *
 * Initialise it with segvol_read_options_init().
 */
typedef struct SegvolReadOptions {
    /**
     * Set by segvol_read_options_init().
     */
    size_t size;
    /**
     * Which affine to use if the file states two that differ: a SegvolAffine.
     */
    int32_t affine;
    /**
     * Of DICOM: 1 to interpolate whole missing slices between their neighbours, 0 to refuse a series with a gap.
     */
    int32_t fill_gaps;
    /**
     * Of DICOM: the series to read, by its Series Instance UID or its Series Number. NULL for the only one that is a scan.
     */
    const char *series;
} SegvolReadOptions;

/**
 * A scan in the caller's memory.
 *
 * Initialise it with segvol_buffer_init(). Then set at least `voxels`, `element`, `shape`, `geometry`, and the fields
 * that the geometry uses.
 */
typedef struct SegvolBuffer {
    /**
     * Set by segvol_buffer_init().
     */
    size_t size;
    /**
     * Address of voxel (0, 0, 0), aligned for its type. Only segvol_volume_from_buffer() reads it, and does not keep
     * it.
     */
    const void *voxels;
    /**
     * The type of a voxel: a SegvolElement.
     */
    int32_t element;
    /**
     * How the position is given: a SegvolGeometry. There is no default, because a wrong one would mirror the patient.
     */
    int32_t geometry;
    /**
     * Number of voxels along the axes i, j, k.
     */
    size_t shape[3];
    /**
     * Bytes from a voxel to its neighbour along i, j, k. Multiples of the element's size; they may be negative. All 0
     * (the default): without gaps, i fastest, then j, then k, as NIfTI and ITK store images.
     */
    ptrdiff_t strides[3];
    /**
     * From the voxel (i, j, k) to millimetres: a 3 x 4 matrix, row by row, with the rows x, y, z.
     * `x = a[0] i + a[1] j + a[2] k + a[3]`, and so on.
     */
    double affine[12];
    /**
     * Distance between neighbouring voxels along i, j, k, in millimetres. Must be positive.
     */
    double spacing[3];
    /**
     * A 3 x 3 matrix, row by row, whose columns are the directions of i, j, k. The default is the identity matrix.
     */
    double direction[9];
    /**
     * Position of the centre of voxel (0, 0, 0), in millimetres.
     */
    double origin[3];
    /**
     * Hounsfield units per unit of a stored value; 1 by default, and not 0.
     */
    double slope;
    /**
     * Hounsfield units of a stored 0; 0 by default. An intensity is `slope` times the stored value, plus `intercept`.
     */
    double intercept;
} SegvolBuffer;

/**
 * A point inside or outside the object.
 */
typedef struct SegvolPoint {
    /**
     * Its coordinates, in the prompt's space.
     */
    double at[3];
    /**
     * 1: inside the object; 0: outside.
     */
    int32_t label;
    /**
     * Must be 0.
     */
    int32_t reserved;
} SegvolPoint;

/**
 * A box around the object, in the prompt's space.
 */
typedef struct SegvolBox {
    /**
     * The smallest coordinates.
     */
    double min[3];
    /**
     * The largest coordinates, inclusive.
     */
    double max[3];
} SegvolBox;

/**
 * The prompts for one object: a name, points, a box, or any combination of them, but at least one.
 *
 * Initialise it with segvol_prompt_init().
 */
typedef struct SegvolPrompt {
    /**
     * Set by segvol_prompt_init().
     */
    size_t size;
    /**
     * The name of a structure as a text prompt, such as "liver"; NULL for no text prompt.
     */
    const char *text;
    /**
     * `points_len` points; may be NULL if there are none.
     */
    const struct SegvolPoint *points;
    /**
     * Number of points.
     */
    size_t points_len;
    /**
     * A box around the object; NULL for no box.
     */
    const struct SegvolBox *bounding_box;
    /**
     * The name of the object in the report. NULL for the text prompt, or "object" if there is none.
     */
    const char *name;
    /**
     * The coordinate system of points and box: a SegvolSpace; voxels by default.
     */
    int32_t space;
    /**
     * Must be 0.
     */
    int32_t reserved;
} SegvolPrompt;

/**
 * A callback that receives the progress of a call and can stop it.
 *
 * - `done`: number of windows that are done. The first is the zoom-out window.
 * - `total`: number of all windows of the call.
 * - `user_data`: the pointer that was passed with the callback.
 *
 * Returns 0 to continue. Any other number stops the call, which then returns CANCELLED. After the last window the result is
 * complete, and the call returns it anyway.
 *
 * It is called after every window, in the thread of the call. It must return: it must not call longjmp(), and no C++
 * exception may leave it. It may call this library, also to free the study.
 */
typedef int (*SegvolProgress)(size_t done, size_t total, void *user_data);

/**
 * A callback that receives the coarse masks of a call, and can stop it.
 *
 * - `coarse`: the objects as the zoom-out pass has found them, one per prompt, in the order of the prompts. All functions that
 *   take a result can be used with it. It belongs to the call and is valid until the callback returns: do not free it. Masks that
 *   are made from it belong to the caller, as always, and stay valid.
 * - `user_data`: the pointer that was passed with the callback.
 *
 * Returns 0 to continue. Any other number stops the call, which then returns CANCELLED. Without a zoom-in pass, the result is
 * already complete, and the call returns it anyway.
 *
 * It is called once, after the first window and before the first SegvolProgress, in the thread of the call, which waits. It must
 * return: it must not call longjmp(), and no C++ exception may leave it. It may call this library, also to free the study.
 */
typedef int (*SegvolCoarse)(const struct SegvolResult *coarse, void *user_data);

/**
 * The callbacks of a call that segments.
 *
 * Initialise it with segvol_callbacks_init().
 */
typedef struct SegvolCallbacks {
    /**
     * Set by segvol_callbacks_init().
     */
    size_t size;
    /**
     * Receives the progress after every window; NULL for none.
     */
    SegvolProgress progress;
    /**
     * Receives the coarse masks; NULL for none.
     */
    SegvolCoarse coarse;
    /**
     * A pointer that all callbacks receive.
     */
    void *user_data;
} SegvolCallbacks;

/**
 * What a study has done since it was made, and what it is doing.
 *
 * Initialise it with segvol_study_statistics_init().
 */
typedef struct SegvolStudyStatistics {
    /**
     * Set by segvol_study_statistics_init().
     */
    size_t size;
    /**
     * Number of windows that the image encoder has encoded. Encoding takes nearly all of the time.
     */
    uint64_t windows_encoded;
    /**
     * Number of times that a cached embedding was used instead.
     */
    uint64_t windows_reused;
    /**
     * Number of windows that the calls that segment with the study at this moment have done; 0 if there is no such call.
     */
    uint64_t windows_done;
    /**
     * Number of windows that these calls need. A call that has not finished its first window counts as 0.
     */
    uint64_t windows_total;
    /**
     * Number of windows whose embeddings were read from the folder `embeddings` of SegvolOptions, instead of encoding them.
     */
    uint64_t windows_loaded;
} SegvolStudyStatistics;

/**
 * What is done to a mask after the model. The steps run in the order of the fields.
 *
 * Initialise it with segvol_postprocessing_init(), which turns all steps off.
 */
typedef struct SegvolPostprocessing {
    /**
     * Set by segvol_postprocessing_init().
     */
    size_t size;
    /**
     * Smooths the mask with a Gaussian of this standard deviation in millimetres, at most 50: a voxel is inside if more than half
     * of its surroundings are. 0 (the default) turns it off. It runs after `keep_with_prompt`.
     */
    double smooth_mm;
    /**
     * Removes components of less than this many millilitres. 0 (the default) turns it off. It runs after `fill_holes`.
     */
    double min_volume_ml;
    /**
     * 1 to keep the components that hold a point inside the object or, without such a point, that touch the box; 0 (the default) to
     * keep all.
     */
    int32_t keep_with_prompt;
    /**
     * 1 to fill holes: background that is not connected to the border of the scan, in three dimensions. 0 by default.
     */
    int32_t fill_holes;
    /**
     * 1 to keep the largest component. 0 by default.
     */
    int32_t largest_component;
    /**
     * What connects the voxels of a component: 6 for common faces, 18 also for edges, 26 (the default) also for corners.
     */
    int32_t neighbours;
} SegvolPostprocessing;

/**
 * Measurements of one label of a mask.
 *
 * Initialise it with segvol_mask_statistics_init().
 */
typedef struct SegvolMaskStatistics {
    /**
     * Set by segvol_mask_statistics_init().
     */
    size_t size;
    /**
     * Number of voxels with the label.
     */
    uint64_t voxels;
    /**
     * Volume of these voxels, in millilitres.
     */
    double volume_ml;
    /**
     * Smallest i, j, k of these voxels; 0 if there are none.
     */
    size_t box_min[3];
    /**
     * Largest i, j, k of these voxels, inclusive; 0 if there are none.
     */
    size_t box_max[3];
} SegvolMaskStatistics;

/**
 * A callback that receives log messages.
 *
 * - `level`: the level of the message, a SegvolLogLevel.
 * - `message`: the message in UTF-8. It is valid until the callback returns.
 * - `user_data`: the pointer that was passed to segvol_log_set().
 *
 * It may be called in any thread, and in several threads at the same time. It must return: it must not call longjmp(),
 * and no C++ exception may leave it. It may call this library, except segvol_log_set(). Messages of such calls are
 * dropped.
 */
typedef void (*SegvolLog)(int32_t level, const char *message, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * Statuses, versions and messages
 * -------------------------------
 */

/**
 * Returns the name of a status, such as `SEGVOL_STATUS_OK`, or `unknown status` for any other number.
 *
 * The string is static: never NULL, and never to be freed.
 * Any thread.
 */
const char *segvol_status_name(int32_t status);

/**
 * Returns the version of the loaded library, such as `0.1.0`.
 *
 * The string is static: never NULL, and never to be freed.
 * Any thread.
 */
const char *segvol_version(void);

/**
 * Returns the interface version of the loaded library. If it differs from SEGVOL_ABI_VERSION, the program was compiled
 * for another library.
 *
 * Any thread.
 */
uint32_t segvol_abi_version(void);

/**
 * Returns the version of the ONNX Runtime library that this process has loaded, such as `1.32.0`. NULL before the first model is
 * opened, because nothing is loaded then.
 *
 * The string is static and never to be freed.
 * Any thread.
 */
const char *segvol_onnxruntime_version(void);

/**
 * Returns the message of the last failed call of this thread: which argument, what was expected, what was found.
 *
 * The message is UTF-8, and empty before the first failure. A call that succeeds does not change it. It is never NULL
 * and never to be freed, and it stays valid until the next failed call of this thread.
 * Any thread.
 */
const char *segvol_last_error(void);

/**
 * Frees a string that the caller owns: one that a function returned through a `char **`. NULL is allowed and does
 * nothing.
 *
 * Any thread.
 */
void segvol_string_free(char *text);

/*
 * Models: open bundles
 * --------------------
 */

/**
 * Opens a bundle, which is the folder that `segvol convert` makes.
 *
 * Checks the hash of every file, then creates the ONNX Runtime sessions. This takes about a second, or minutes if
 * TensorRT has to build its engines.
 *
 * - `bundle`: path of the folder.
 * - `options`: NULL for the defaults.
 * - `model`: receives the model. The caller owns it and frees it with segvol_model_free(). Unchanged on failure.
 *
 * Errors: BUNDLE, LIBRARY, PROVIDER_UNKNOWN, PROVIDER_MISSING, PROVIDER_FAILED, PROVIDER_OPTION, OPTION, ARGUMENT,
 * RUN.
 * Any thread.
 */
SegvolStatus segvol_model_open(const char *bundle, const struct SegvolOptions *options, struct SegvolModel **model);

/**
 * Returns the execution provider of the model, such as `cpu`. For a model that was opened with `auto`, this is the
 * chosen one.
 *
 * The string is static and never to be freed. NULL if `model` is NULL.
 * Any thread.
 */
const char *segvol_model_provider(const struct SegvolModel *model);

/**
 * Gets the manifest of the bundle, as JSON. It describes the content of the bundle.
 *
 * - `json`: receives the manifest. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_model_manifest(const struct SegvolModel *model, char **json);

/**
 * Gets the names that the model was trained with, as JSON: `source` says where the list comes from, and `list` has an
 * object with `name`, and `synonyms` if it has any, for each. `null` if the bundle has no list.
 *
 * - `json`: receives the list. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_model_names(const struct SegvolModel *model, char **json);

/**
 * Asks whether the model was trained with a text prompt. A model segments any text, but the mask for a text that it has
 * not learnt may show anything. Upper case and blanks make no difference.
 *
 * - `text`: the text, as in `text` of SegvolPrompt.
 * - `json`: receives NULL if the model was trained with the text, or if the bundle has no list of names. Otherwise it
 *   receives what to say about the text: `message`, a sentence; `reason`, which is "spelling" (the model knows another
 *   spelling of this name), "similar" (it knows a name that is nearly the same) or "unknown"; `nearest`, the nearest
 *   names of the model, the nearest first; and `known`, how many names it knows. The caller owns it and frees it with
 *   segvol_string_free(). Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_model_check_name(const struct SegvolModel *model, const char *text, char **json);

/**
 * Frees a model. Studies and results that were made with it stay valid. NULL is allowed and does nothing.
 *
 * Any thread, but not while another thread uses this handle.
 */
void segvol_model_free(struct SegvolModel *model);

/*
 * Volumes: scans from a file or from memory
 * -----------------------------------------
 */

/**
 * Reads a scan: NIfTI, NRRD or MetaImage. A library that was built with the feature `dicom` also reads DICOM: a folder, a
 * zip of one, a file with several frames, or one slice of a series in its folder.
 *
 * - `path`: the file or folder.
 * - `volume`: receives the volume. The caller owns it and frees it with segvol_volume_free(). Unchanged on failure.
 *
 * Errors: FILE, MEMORY. FILE also if the file's sform and qform mirror each other, or if a folder holds several series:
 * segvol_volume_open_with() chooses.
 * Any thread.
 */
SegvolStatus segvol_volume_open(const char *path,
                                struct SegvolVolume **volume);

/**
 * Sets all fields to their defaults.
 *
 * - `size`: sizeof(SegvolReadOptions).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_read_options_init(struct SegvolReadOptions *options, size_t size);

/**
 * Reads a scan as segvol_volume_open() does, with options.
 *
 * - `path`: the file or folder.
 * - `options`: initialised with segvol_read_options_init(). NULL for the defaults.
 * - `volume`: receives the volume. The caller owns it and frees it with segvol_volume_free(). Unchanged on failure.
 *
 * Errors: FILE, MEMORY, and ARGUMENT for a field of `options`.
 * Any thread.
 */
SegvolStatus segvol_volume_open_with(const char *path,
                                     const struct SegvolReadOptions *options,
                                     struct SegvolVolume **volume);

/**
 * Sets all fields to their defaults.
 *
 * - `size`: sizeof(SegvolBuffer).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_buffer_init(struct SegvolBuffer *buffer, size_t size);

/**
 * Copies a scan from the caller's memory, as float32.
 *
 * - `buffer`: the scan, initialised with segvol_buffer_init(). Its memory may be freed as soon as this function
 *   returns.
 * - `volume`: receives the volume. The caller owns it and frees it with segvol_volume_free(). Unchanged on failure.
 *
 * Errors: SHAPE, STRIDE, ELEMENT, AFFINE, MEMORY, and ARGUMENT for `size`, `slope` or `intercept`.
 * Any thread.
 */
SegvolStatus segvol_volume_from_buffer(const struct SegvolBuffer *buffer, struct SegvolVolume **volume);

/**
 * Gets the number of voxels along the axes i, j, k of the scan.
 *
 * - `shape`: receives three numbers. Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_volume_shape(const struct SegvolVolume *volume, size_t shape[3]);

/**
 * Gets the affine from the voxel (i, j, k) to millimetres in RAS.
 *
 * - `affine`: receives a 3 x 4 matrix, row by row, as in SegvolBuffer. Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_volume_affine(const struct SegvolVolume *volume, double affine[12]);

/**
 * Frees a volume. Studies that were made from it stay valid. NULL is allowed and does nothing.
 *
 * Any thread, but not while another thread uses this handle.
 */
void segvol_volume_free(struct SegvolVolume *volume);

/*
 * Studies: scans that are ready for prompts
 * -----------------------------------------
 */

/**
 * Prepares a scan for prompts: turns it to the axes that the model expects, normalises its intensities and crops it to the body.
 *
 * - `model`, `volume`: the study keeps what it needs of both, so they may be freed afterwards.
 * - `options`: NULL for the options with which the model was opened. Otherwise `zoom_in`, `overlap`, `orientation`, `axes`,
 *   `profile`, `threshold`, `effort`, `independent`, `cache_bytes`, `embeddings` and `embeddings_bytes` are used for this study,
 *   and the other fields are ignored.
 * - `study`: receives the study. The caller owns it and frees it with segvol_study_free(). Unchanged on failure.
 *
 * Errors: INTENSITY, OPTION, ARGUMENT, MEMORY.
 * Any thread. Several threads can use one model.
 */
SegvolStatus segvol_study_new(const struct SegvolModel *model,
                              const struct SegvolVolume *volume,
                              const struct SegvolOptions *options,
                              struct SegvolStudy **study);

/**
 * Segments one object.
 *
 * - `prompt`: what to segment, initialised with segvol_prompt_init().
 * - `mask`: receives the mask, on the scan's grid: 1 inside the object, 0 elsewhere. The caller owns it and frees it
 *   with segvol_mask_free(). Unchanged on failure.
 *
 * While it runs, another thread can ask for its progress with segvol_study_statistics(), and stop it with
 * segvol_study_cancel().
 *
 * Errors: PROMPT, OUTSIDE_SCAN, TEXT, ARGUMENT, CANCELLED, RUN, NOT_FINITE, MEMORY, and BUNDLE if a file of the bundle was
 * changed after it was opened.
 * Any thread. Calls on one study, and on studies of one model, wait for each other while they need the same graph.
 */
SegvolStatus segvol_study_segment(const struct SegvolStudy *study,
                                  const struct SegvolPrompt *prompt,
                                  struct SegvolMask **mask);

/**
 * Segments several objects. Windows that they share are encoded once.
 *
 * - `prompts`: `prompts_len` prompts without gaps between them, all with the same `size`.
 * - `progress`: the callback for progress, or NULL for none.
 * - `user_data`: a pointer that the callback receives.
 * - `result`: receives the result, with one object per prompt, in the order of the prompts. The caller owns it and
 *   frees it with segvol_result_free(). Unchanged on failure.
 *
 * Errors: CANCELLED, and those of segvol_study_segment().
 * Any thread, as for segvol_study_segment().
 */
SegvolStatus segvol_study_segment_all(const struct SegvolStudy *study,
                                      const struct SegvolPrompt *prompts,
                                      size_t prompts_len,
                                      SegvolProgress progress,
                                      void *user_data,
                                      struct SegvolResult **result);

/**
 * As segvol_study_segment_all(), with more callbacks: one receives the coarse masks as soon as they exist, which is after
 * the first window.
 *
 * - `callbacks`: initialised with segvol_callbacks_init(). NULL for none.
 * - `result`: receives the result, with one object per prompt, in the order of the prompts. The caller owns it and
 *   frees it with segvol_result_free(). Unchanged on failure.
 *
 * Errors: those of segvol_study_segment_all().
 * Any thread, as for segvol_study_segment().
 */
SegvolStatus segvol_study_segment_with(const struct SegvolStudy *study,
                                       const struct SegvolPrompt *prompts,
                                       size_t prompts_len,
                                       const struct SegvolCallbacks *callbacks,
                                       struct SegvolResult **result);

/**
 * Stops the calls that segment with a study, from any thread. They return CANCELLED soon, also in the middle of a window:
 * ONNX Runtime stops before the next node of its graph. A call that has finished its last window returns its result.
 *
 * Calls that begin later also return CANCELLED, until segvol_study_resume(). So it does not matter whether another thread has
 * already begun its call. The study keeps the windows that it has encoded.
 *
 * Any thread, also in a callback.
 */
SegvolStatus segvol_study_cancel(const struct SegvolStudy *study);

/**
 * Lets a study segment again after segvol_study_cancel(). Does nothing if the study was not cancelled.
 *
 * Call it when the cancelled calls have returned: a call that has not noticed yet that it is cancelled goes on.
 *
 * Any thread.
 */
SegvolStatus segvol_study_resume(const struct SegvolStudy *study);

/**
 * Gets the number of voxels along the axes i, j, k of the scan.
 *
 * - `shape`: receives three numbers. Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_study_shape(const struct SegvolStudy *study, size_t shape[3]);

/**
 * Sets `size` of the struct, and all other fields to 0.
 *
 * - `size`: sizeof(SegvolStudyStatistics).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_study_statistics_init(struct SegvolStudyStatistics *statistics, size_t size);

/**
 * Gets what a study has done since it was made, and how far the calls are that segment with it at this moment.
 *
 * - `statistics`: receives the numbers. It must be initialised. Unchanged on failure.
 *
 * Errors: ARGUMENT if `statistics` is not initialised.
 * Any thread, also while another thread segments with the study.
 */
SegvolStatus segvol_study_statistics(const struct SegvolStudy *study, struct SegvolStudyStatistics *statistics);

/**
 * Frees a study. Results that were made with it stay valid. NULL is allowed and does nothing.
 *
 * Any thread, but not while another thread uses this handle.
 */
void segvol_study_free(struct SegvolStudy *study);

/**
 * Sets all callbacks to NULL.
 *
 * - `size`: sizeof(SegvolCallbacks).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_callbacks_init(struct SegvolCallbacks *callbacks, size_t size);

/*
 * Results: the objects of a call
 * ------------------------------
 */

/**
 * Returns the number of objects, which is the number of prompts of the call. 0 if `result` is NULL.
 *
 * Any thread.
 */
size_t segvol_result_len(const struct SegvolResult *result);

/**
 * Gets the number of voxels along the axes i, j, k of the scan.
 *
 * - `shape`: receives three numbers. Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_result_shape(const struct SegvolResult *result, size_t shape[3]);

/**
 * Copies the logits of one object: one float per voxel of the scan, without gaps, i fastest, then j, then k, as in
 * segvol_mask_voxels(). The affine is that of the scan.
 *
 * A voxel is in the mask if its logit is above 0, or above that of `threshold` of SegvolOptions. Logits are NaN outside the body's
 * box, which the model does not see.
 *
 * - `index`: the object, counted from 0, in the order of the prompts.
 * - `values`: receives the logits.
 * - `len`: number of floats that may be written: at least the product of the numbers of segvol_result_shape().
 *
 * Errors: INDEX, BUFFER if `len` is too small, MEMORY. On failure nothing is written.
 * Any thread.
 */
SegvolStatus segvol_result_logits(const struct SegvolResult *result,
                                  size_t index,
                                  float *values,
                                  size_t len);

/**
 * Copies the probabilities of one object, from 0 to 1: the logistic function of the logits, in the same order as
 * segvol_result_logits(). They are 0 outside the body's box, which is background.
 *
 * A voxel is in the mask if its probability is above `threshold` of SegvolOptions, one half by default. Logits decide: a
 * probability that is nearly the threshold may be rounded to it.
 *
 * - `index`: the object, counted from 0, in the order of the prompts.
 * - `values`: receives the probabilities.
 * - `len`: number of floats that may be written: at least the product of the numbers of segvol_result_shape().
 *
 * Errors: INDEX, BUFFER if `len` is too small, MEMORY. On failure nothing is written.
 * Any thread.
 */
SegvolStatus segvol_result_probabilities(const struct SegvolResult *result,
                                         size_t index,
                                         float *values,
                                         size_t len);

/**
 * Writes the logits of one object to a NIfTI file, float32, on the scan's grid: those of segvol_result_logits().
 *
 * - `index`: the object, counted from 0, in the order of the prompts.
 * - `path`: the file. The name must end in .nii, or in .nii.gz for a compressed file.
 * - `float_type`: how the numbers are rounded: a SegvolFloatType.
 *
 * The write is atomic, as that of a mask: on failure there is no new file, and an existing file is unchanged.
 *
 * Errors: INDEX, ARGUMENT, MEMORY, and WRITE, also if the file is write-protected or the one that the scan was opened from.
 * Any thread.
 */
SegvolStatus segvol_result_save_logits(const struct SegvolResult *result,
                                       size_t index,
                                       const char *path,
                                       int32_t float_type);

/**
 * Writes the probabilities of one object to a NIfTI file, float32, on the scan's grid: those of segvol_result_probabilities().
 *
 * - `index`: the object, counted from 0, in the order of the prompts.
 * - `path`: the file. The name must end in .nii, or in .nii.gz for a compressed file.
 * - `float_type`: how the numbers are rounded: a SegvolFloatType.
 *
 * The write is atomic, as that of a mask: on failure there is no new file, and an existing file is unchanged.
 *
 * Errors: INDEX, ARGUMENT, MEMORY, and WRITE, also if the file is write-protected or the one that the scan was opened from.
 * Any thread.
 */
SegvolStatus segvol_result_save_probabilities(const struct SegvolResult *result,
                                              size_t index,
                                              const char *path,
                                              int32_t float_type);

/**
 * Makes the mask of one object: 1 inside the object, 0 elsewhere. The masks of several objects can overlap.
 *
 * - `index`: the object, counted from 0, in the order of the prompts.
 * - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
 *
 * Errors: INDEX, MEMORY.
 * Any thread.
 */
SegvolStatus segvol_result_mask(const struct SegvolResult *result, size_t index, struct SegvolMask **mask);

/**
 * Makes one mask of all objects: 1 for the first object, 2 for the second, and so on, and 0 for the background.
 *
 * Where objects overlap, a voxel gets the label of the object for which the model is more confident.
 *
 * - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
 *
 * Errors: MEMORY.
 * Any thread.
 */
SegvolStatus segvol_result_label_map(const struct SegvolResult *result, struct SegvolMask **mask);

/**
 * Gets the warnings about one object, as JSON: a list of objects with `code` and `message`. The list is empty if there
 * are none. Codes keep their names and meanings from version to version; for example, `name_unknown` means that the
 * model was not trained with the text of the prompt, and `mask_empty` that nothing was found.
 *
 * Warnings about the scan are in segvol_result_report().
 *
 * - `index`: the object, counted from 0, in the order of the prompts.
 * - `json`: receives the list. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
 *
 * Errors: INDEX.
 * Any thread.
 */
SegvolStatus segvol_result_warnings(const struct SegvolResult *result, size_t index, char **json);

/**
 * Makes a report of the call, as JSON.
 *
 * It contains the bundle, the provider and precision that ran, the numbers of windows and the times. For each object
 * it contains the volume, the box and the warnings, for example that a point in the air was moved to the body.
 *
 * - `json`: receives the report. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_result_report(const struct SegvolResult *result, char **json);

/**
 * Frees a result. Masks that were made from it stay valid. NULL is allowed and does nothing.
 *
 * Any thread, but not while another thread uses this handle.
 */
void segvol_result_free(struct SegvolResult *result);

/**
 * Turns all steps off.
 *
 * - `size`: sizeof(SegvolPostprocessing).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_postprocessing_init(struct SegvolPostprocessing *postprocessing, size_t size);

/**
 * Makes the mask of one object as segvol_result_mask() does, and postprocesses it. The steps always run in this order: the choice
 * of components by the prompt, smoothing, holes, small components, the largest component.
 *
 * - `index`: the object, counted from 0, in the order of the prompts.
 * - `postprocessing`: initialised with segvol_postprocessing_init().
 * - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
 * - `json`: receives what was done: an object with `record`, which has what each step did, and `warnings`, a list of objects with
 *   `code` and `message`, for example that the mask became empty. The caller owns it and frees it with segvol_string_free().
 *   Unchanged on failure. May be NULL.
 *
 * Errors: INDEX, MEMORY, and ARGUMENT for a field of `postprocessing`.
 * Any thread.
 */
SegvolStatus segvol_result_mask_with(const struct SegvolResult *result,
                                     size_t index,
                                     const struct SegvolPostprocessing *postprocessing,
                                     struct SegvolMask **mask,
                                     char **json);

/**
 * Makes one mask of all objects as segvol_result_label_map() does, of masks that are postprocessed one by one.
 *
 * Where the new masks overlap, a voxel gets the label of the object for which the model is more confident. So an object never loses
 * a voxel of the model's own mask to one that was filled or smoothed into it.
 *
 * - `postprocessing`: for every object; initialised with segvol_postprocessing_init().
 * - `mask`: receives the mask. The caller owns it and frees it with segvol_mask_free(). Unchanged on failure.
 *
 * Errors: MEMORY, and ARGUMENT for a field of `postprocessing`.
 * Any thread.
 */
SegvolStatus segvol_result_label_map_with(const struct SegvolResult *result,
                                          const struct SegvolPostprocessing *postprocessing,
                                          struct SegvolMask **mask);

/*
 * Masks
 * -----
 */

/**
 * Writes the mask to a NIfTI file, with the affine and the coordinate codes of the scan's file.
 *
 * - `path`: the file. The name must end in .nii, or in .nii.gz for a compressed file.
 *
 * The write is atomic: on failure there is no new file, and an existing file is unchanged. Only a file that a rename
 * cannot replace, such as a mount point, is written in place: a failure then says what has become of its old content. An
 * existing mask is replaced, and keeps its permissions; a link to a file stays a link.
 *
 * Errors: WRITE, also if the file is write-protected, and if it is the file that the scan was opened from, under any path
 * that leads to it.
 * Any thread.
 */
SegvolStatus segvol_mask_save(const struct SegvolMask *mask,
                              const char *path);

/**
 * Gets the number of voxels along the axes i, j, k of the scan.
 *
 * - `shape`: receives three numbers. Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_mask_shape(const struct SegvolMask *mask, size_t shape[3]);

/**
 * Gets the labels of a mask without a copy.
 *
 * - `voxels`: receives the address of the labels: one byte per voxel, without gaps, i fastest, then j, then k. The
 *   mask owns them, and they are valid until it is freed. Unchanged on failure.
 *
 * Errors: BUFFER if the mask has labels above 255; use segvol_mask_copy_u16() then.
 * Any thread.
 */
SegvolStatus segvol_mask_voxels(const struct SegvolMask *mask, const uint8_t **voxels);

/**
 * Copies the labels of a mask, one byte per voxel.
 *
 * - `voxels`: the address for voxel (0, 0, 0).
 * - `len`: number of bytes that may be written, counted from there.
 * - `strides`: bytes from a voxel to its neighbour along i, j, k, all positive. NULL: without gaps, i fastest, then j,
 *   then k. Bytes between voxels are not changed.
 *
 * Errors: STRIDE, BUFFER if `len` is too small or the mask has labels above 255. On failure nothing is written.
 * Any thread.
 */
SegvolStatus segvol_mask_copy(const struct SegvolMask *mask, uint8_t *voxels, size_t len, const ptrdiff_t strides[3]);

/**
 * Copies the labels of a mask, two bytes per voxel.
 *
 * As segvol_mask_copy(), but `len` and `strides` count uint16_t, not bytes.
 *
 * Errors: STRIDE, BUFFER if `len` is too small. On failure nothing is written.
 * Any thread.
 */
SegvolStatus segvol_mask_copy_u16(const struct SegvolMask *mask,
                                  uint16_t *voxels,
                                  size_t len,
                                  const ptrdiff_t strides[3]);

/**
 * Sets `size` of the struct, and all other fields to 0.
 *
 * - `size`: sizeof(SegvolMaskStatistics).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_mask_statistics_init(struct SegvolMaskStatistics *statistics, size_t size);

/**
 * Measures one label of a mask.
 *
 * - `label`: the label; 1 in a mask of one object. A label that no voxel has is not an error: it has 0 voxels.
 * - `statistics`: receives the measurements. It must be initialised. Unchanged on failure.
 *
 * Errors: ARGUMENT if `statistics` is not initialised.
 * Any thread.
 */
SegvolStatus segvol_mask_statistics(const struct SegvolMask *mask,
                                    uint16_t label,
                                    struct SegvolMaskStatistics *statistics);

/**
 * Frees a mask. NULL is allowed and does nothing.
 *
 * Any thread, but not while another thread uses this handle.
 */
void segvol_mask_free(struct SegvolMask *mask);

/*
 * Options and prompts
 * -------------------
 */

/**
 * Sets all fields to their defaults.
 *
 * - `size`: sizeof(SegvolOptions).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_options_init(struct SegvolOptions *options, size_t size);

/**
 * Makes an empty prompt: sets all fields to their defaults.
 *
 * - `size`: sizeof(SegvolPrompt).
 *
 * Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
 * Any thread.
 */
SegvolStatus segvol_prompt_init(struct SegvolPrompt *prompt, size_t size);

/*
 * Providers
 * ---------
 */

/**
 * Loads ONNX Runtime, and tries every execution provider with a small matrix product.
 *
 * - `library`: path of the ONNX Runtime library or of its folder, as in SegvolOptions. NULL for the library that is already loaded, or
 *   that would be loaded by default.
 * - `providers`: receives the list. The caller owns it and frees it with segvol_providers_free(). Unchanged on
 *   failure.
 *
 * Errors: LIBRARY.
 * Any thread.
 */
SegvolStatus segvol_providers_new(const char *library,
                                  struct SegvolProviders **providers);

/**
 * Returns the number of providers, including those that cannot be used. 0 if `providers` is NULL.
 *
 * Any thread.
 */
size_t segvol_providers_len(const struct SegvolProviders *providers);

/**
 * Returns the name of a provider, as `provider` of SegvolOptions takes it.
 *
 * - `index`: the provider, counted from 0.
 *
 * The string belongs to the list and is valid until the list is freed. NULL if `providers` is NULL or `index` is too
 * large.
 * Any thread.
 */
const char *segvol_providers_name(const struct SegvolProviders *providers, size_t index);

/**
 * Returns the reason why a provider cannot be used, or NULL if it can be used.
 *
 * - `index`: the provider, counted from 0.
 *
 * The string belongs to the list and is valid until the list is freed. Also NULL if `providers` is NULL or `index` is
 * too large.
 * Any thread.
 */
const char *segvol_providers_problem(const struct SegvolProviders *providers, size_t index);

/**
 * Makes a report of the library and its providers, as JSON: the library's file, version and build, providers and
 * devices.
 *
 * - `json`: receives the report. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
 *
 * Any thread.
 */
SegvolStatus segvol_providers_report(const struct SegvolProviders *providers, char **json);

/**
 * Frees a list of providers. NULL is allowed and does nothing.
 *
 * Any thread, but not while another thread uses this handle.
 */
void segvol_providers_free(struct SegvolProviders *providers);

/*
 * Log
 * ---
 */

/**
 * Sets the log callback of the whole process. By default there is none, and messages are dropped.
 *
 * - `level`: a SegvolLogLevel; messages of this level and of all lower numbers are passed on.
 * - `log`: the callback, or NULL for none.
 * - `user_data`: a pointer that the callback receives. It must stay valid until another callback is set.
 *
 * When this function returns, the previous callback is no longer running and will not be called again, so its
 * `user_data` may be freed.
 *
 * Errors: ARGUMENT, CALLBACK if called from a log callback. On failure the previous callback stays.
 * Any thread.
 */
SegvolStatus segvol_log_set(int32_t level, SegvolLog log, void *user_data);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SEGVOL_H */
