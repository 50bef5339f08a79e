/*
 * segvol.h: segments anything in a CT that you can name, click or box.
 *
 * The short way, from files to a file (error checks left out; examples/segment.c has them):
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
 * The rules, for every function here:
 *
 * Status      A function that can fail gives a SegvolStatus; segvol_last_error() has the message, one per thread. The
 *             statuses that a function's comment names are its own; every function may also give NULL, UTF8 or INTERNAL.
 * Outputs     are written on success only: where a call fails, `*model` and its like are what they were before.
 * Ownership   What the comment calls the caller's is freed once, by the function named there. Every free takes NULL. Handles
 *             may be freed in any order, each keeps what it needs of the others. Nothing keeps a pointer of the caller's
 *             after it has returned, but for segvol_log_set().
 * Structs     that the caller fills (SegvolOptions, SegvolBuffer, SegvolPrompt, and the statistics) begin with `size` and have
 *             an init function, called with sizeof: so they can grow, and a program that was compiled for an older library
 *             runs with a newer one. Fields that are enums are int32_t, so that any number can be told to be wrong.
 * Pointers    must be NULL, where the comment says so, or valid: a handle that was freed, or memory shorter than was said,
 *             cannot be told from good ones.
 * Threads     "Any thread": in any, also several at once, as long as no handle is freed while another thread uses it. Models,
 *             volumes, studies, results and masks may be shared: none changes but for a study's kept embeddings, which are
 *             behind a lock. A process that forks must not use the library in the child if it did in the parent.
 * Texts       are UTF-8 and end in a zero byte; paths too.
 * Axes        i, j, k are the axes of the scan as it was handed over, counted from 0. Lengths are millimetres.
 * Panics      never cross: they become INTERNAL.
 * Memory      that a scan needs is asked for first: where there is not as much, the call gives MEMORY. Other memory that cannot
 *             be had ends the process, as everywhere in Rust.
 *
 * This file is made from bindings/c/src by cbindgen.
 */

#ifndef SEGVOL_H
#define SEGVOL_H

#include <stddef.h>
#include <stdint.h>

/**
 * The interface that this header describes. A library of another number cannot be used with it.
 */
#define SEGVOL_ABI_VERSION 1

/**
 * The version that this header came with.
 */
#define SEGVOL_VERSION_MAJOR 0

/**
 * The version that this header came with.
 */
#define SEGVOL_VERSION_MINOR 1

/**
 * The version that this header came with.
 */
#define SEGVOL_VERSION_PATCH 0

/**
 * What came of a call. A number never changes its meaning, and none is used again; later versions may add some.
 */
enum SegvolStatus
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done; outputs are written.
     */
    SEGVOL_STATUS_OK = 0,
    /**
     * A mistake in this library. Nothing was changed; please report the message.
     */
    SEGVOL_STATUS_INTERNAL = 1,
    /**
     * A pointer that must not be NULL is.
     */
    SEGVOL_STATUS_NULL = 2,
    /**
     * An argument is none of the values that it may have: a struct's size, a number of an enum, a flag.
     */
    SEGVOL_STATUS_ARGUMENT = 3,
    /**
     * A text is not UTF-8.
     */
    SEGVOL_STATUS_UTF8 = 4,
    /**
     * An index is not less than the number of things.
     */
    SEGVOL_STATUS_INDEX = 5,
    /**
     * A buffer of the caller's is too small, or its elements are.
     */
    SEGVOL_STATUS_BUFFER = 6,
    /**
     * A callback calls what no callback may call.
     */
    SEGVOL_STATUS_CALLBACK = 7,
    /**
     * A setting is outside its range.
     */
    SEGVOL_STATUS_OPTION = 8,
    /**
     * The bundle is damaged, incomplete, not there, or lacks the precision that was asked for.
     */
    SEGVOL_STATUS_BUNDLE = 20,
    /**
     * ONNX Runtime's library is missing, too old, or another one is loaded.
     */
    SEGVOL_STATUS_LIBRARY = 21,
    /**
     * There is no provider, or stage, of that name.
     */
    SEGVOL_STATUS_PROVIDER_UNKNOWN = 22,
    /**
     * The loaded ONNX Runtime was built without the provider.
     */
    SEGVOL_STATUS_PROVIDER_MISSING = 23,
    /**
     * The provider cannot be started, or takes no part of a stage.
     */
    SEGVOL_STATUS_PROVIDER_FAILED = 24,
    /**
     * The provider has no such option, or not that value.
     */
    SEGVOL_STATUS_PROVIDER_OPTION = 25,
    /**
     * A scan's file cannot be read.
     */
    SEGVOL_STATUS_FILE = 40,
    /**
     * A shape has an axis without voxels, or too many voxels.
     */
    SEGVOL_STATUS_SHAPE = 41,
    /**
     * Strides do not fit the shape or the element type.
     */
    SEGVOL_STATUS_STRIDE = 42,
    /**
     * There is no element type of that number, or the buffer is not aligned for it.
     */
    SEGVOL_STATUS_ELEMENT = 43,
    /**
     * An affine, spacing, direction or origin is missing, not finite, or spans no space.
     */
    SEGVOL_STATUS_AFFINE = 44,
    /**
     * Intensities cannot be normalised: one is not finite, or all are equal.
     */
    SEGVOL_STATUS_INTENSITY = 45,
    /**
     * A prompt is empty, not finite, or its box is inverted.
     */
    SEGVOL_STATUS_PROMPT = 60,
    /**
     * A point or box lies outside the scan.
     */
    SEGVOL_STATUS_OUTSIDE_SCAN = 61,
    /**
     * A name is blank, too long, or the model's tokenizer refuses it.
     */
    SEGVOL_STATUS_TEXT = 62,
    /**
     * The progress callback asked to stop. The study can be used again.
     */
    SEGVOL_STATUS_CANCELLED = 80,
    /**
     * ONNX Runtime failed while running, for want of its own memory for instance.
     */
    SEGVOL_STATUS_RUN = 81,
    /**
     * A stage gave a number that is infinite or none.
     */
    SEGVOL_STATUS_NOT_FINITE = 82,
    /**
     * A mask cannot be written: the folder, the disk, or a name that ends in neither .nii nor .nii.gz.
     */
    SEGVOL_STATUS_WRITE = 83,
    /**
     * There is not as much memory as a scan needs.
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
 * How a buffer says where its voxels lie. RAS: millimetres that grow to the patient's right, front (anterior) and head
 * (superior), as in NIfTI; LPS: to the left, back (posterior) and head, as in DICOM and ITK.
 */
enum SegvolGeometry
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * `affine`, to RAS.
     */
    SEGVOL_GEOMETRY_AFFINE_RAS = 1,
    /**
     * `affine`, to LPS.
     */
    SEGVOL_GEOMETRY_AFFINE_LPS = 2,
    /**
     * `spacing`, `direction` and `origin` in RAS.
     */
    SEGVOL_GEOMETRY_PARTS_RAS = 3,
    /**
     * `spacing`, `direction` and `origin` in LPS: what DICOM's and ITK's images have.
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
 * Which axes the model sees.
 */
enum SegvolOrientation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The patient's: one scan gives one mask, in whatever order it is stored.
     */
    SEGVOL_ORIENTATION_RAS = 0,
    /**
     * As they are stored: what the released demo does.
     */
    SEGVOL_ORIENTATION_STORED = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolOrientation SegvolOrientation;
#else
typedef int32_t SegvolOrientation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How windows and prompts of the zoom-in pass are chosen.
 */
enum SegvolProfile
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Objects share windows.
     */
    SEGVOL_PROFILE_DEFAULT = 0,
    /**
     * The released code to the letter.
     */
    SEGVOL_PROFILE_RELEASED = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum SegvolProfile SegvolProfile;
#else
typedef int32_t SegvolProfile;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What the coordinates of a prompt mean.
 */
enum SegvolSpace
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Voxels (i, j, k) of the scan as it was handed over, from 0; a voxel's centre is a whole number.
     */
    SEGVOL_SPACE_VOXEL = 0,
    /**
     * Millimetres to the patient's right, front and head: NIfTI's world.
     */
    SEGVOL_SPACE_RAS = 1,
    /**
     * Millimetres to the patient's left, back and head: DICOM's and ITK's world.
     */
    SEGVOL_SPACE_LPS = 2,
    /**
     * Voxels (d, h, w) of the model's zoom-out window, as the released code takes them.
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
 * How much is told: a level and all above it.
 */
enum SegvolLogLevel
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing.
     */
    SEGVOL_LOG_LEVEL_OFF = 0,
    /**
     * What went wrong.
     */
    SEGVOL_LOG_LEVEL_ERROR = 1,
    /**
     * What may be wrong.
     */
    SEGVOL_LOG_LEVEL_WARN = 2,
    /**
     * What was decided, such as which provider `auto` passed over.
     */
    SEGVOL_LOG_LEVEL_INFO = 3,
    /**
     * How it is done.
     */
    SEGVOL_LOG_LEVEL_DEBUG = 4,
    /**
     * Everything.
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
 * A bundle, opened on a provider: sessions of ONNX Runtime, made once.
 */
typedef struct SegvolModel SegvolModel;

/**
 * The providers of ONNX Runtime, each tried.
 */
typedef struct SegvolProviders SegvolProviders;

/**
 * The objects of one call. It shares its study's image and embeddings: memory of both is free when the last of them is.
 */
typedef struct SegvolResult SegvolResult;

/**
 * One scan, ready for prompts. It keeps the image embeddings of the windows that it has met, so that the next prompt costs
 * a small part of the first.
 */
typedef struct SegvolStudy SegvolStudy;

/**
 * A scan: intensities, and where its voxels lie in the patient.
 */
typedef struct SegvolVolume SegvolVolume;

/**
 * How a bundle is opened and scans are segmented. Set it up with segvol_options_init(): then all are defaults.
 */
typedef struct SegvolOptions {
    /**
     * Set by segvol_options_init().
     */
    size_t size;
    /**
     * Where the graphs run: "cpu", "cuda", "tensorrt", "openvino", "coreml", "directml", "rocm", "migraphx", "xnnpack" or
     * "webgpu"; NULL or "auto": the best that works.
     */
    const char *provider;
    /**
     * Which of the bundle's precisions is run: "fp32", "fp16" or "int8"; NULL: what the provider runs best.
     */
    const char *precision;
    /**
     * ONNX Runtime's library file. NULL: the one that the process has loaded, else the variable ORT_DYLIB_PATH, else
     * libonnxruntime.so beside the program, beside libsegvol.so, or where the dynamic loader finds it. A process can load
     * only one.
     */
    const char *library;
    /**
     * Options of the provider, "KEY=VALUE" or "PROVIDER.KEY=VALUE" each, such as "cuda.device=1".
     */
    const char *const *provider_options;
    /**
     * How many there are.
     */
    size_t provider_options_len;
    /**
     * Stages that run elsewhere, "STAGE=PROVIDER" each, such as "mask_decoder=cpu".
     */
    const char *const *stage_providers;
    /**
     * How many there are.
     */
    size_t stage_providers_len;
    /**
     * Threads per graph; 0: as many as there are cores.
     */
    size_t threads;
    /**
     * Most bytes of image embeddings that a study keeps, 2 GiB by default. With less, windows are encoded again; the
     * result is the same.
     */
    size_t cache_bytes;
    /**
     * Share of a window that the next one covers too, per axis: 0 to 0.95; 0.5 by default.
     */
    double overlap;
    /**
     * Whether the zoom-in pass runs: 1 (the default), or 0 for a fast and coarse mask.
     */
    int32_t zoom_in;
    /**
     * Which axes the model sees: a SegvolOrientation.
     */
    int32_t orientation;
    /**
     * How windows and prompts of the zoom-in pass are chosen: a SegvolProfile.
     */
    int32_t profile;
    /**
     * Must be 0.
     */
    int32_t reserved;
} SegvolOptions;

/**
 * A scan in the caller's memory. Set it up with segvol_buffer_init(), then set at least `voxels`, `element`, `shape`,
 * `geometry` and what that needs.
 */
typedef struct SegvolBuffer {
    /**
     * Set by segvol_buffer_init().
     */
    size_t size;
    /**
     * Voxel (0, 0, 0), aligned as its type asks. Read by segvol_volume_from_buffer() alone, and not kept.
     */
    const void *voxels;
    /**
     * The type of a voxel: a SegvolElement.
     */
    int32_t element;
    /**
     * How the geometry is given: a SegvolGeometry. There is no default: a wrong one would mirror the patient.
     */
    int32_t geometry;
    /**
     * Voxels along the axes i, j, k.
     */
    size_t shape[3];
    /**
     * Bytes from a voxel to its neighbour along i, j, k: whole elements, maybe negative. All 0 (the default): no gaps, i
     * fastest, then j, k, as NIfTI and ITK store images.
     */
    ptrdiff_t strides[3];
    /**
     * Three rows x, y, z of four: `x = a[0] i + a[1] j + a[2] k + a[3]`, and so on. Millimetres.
     */
    double affine[12];
    /**
     * Millimetres between neighbours along i, j, k.
     */
    double spacing[3];
    /**
     * Row by row, the matrix whose columns are the directions of i, j, k; the default is the unit matrix.
     */
    double direction[9];
    /**
     * Where the centre of voxel (0, 0, 0) is, in millimetres.
     */
    double origin[3];
    /**
     * Hounsfield units are `slope` times the stored value, plus `intercept`; 1 by default.
     */
    double slope;
    /**
     * See `slope`; 0 by default.
     */
    double intercept;
} SegvolBuffer;

/**
 * A point in the object, or beside it.
 */
typedef struct SegvolPoint {
    /**
     * Where, in the prompt's space.
     */
    double at[3];
    /**
     * 1: in the object; 0: beside it.
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
     * Least coordinates.
     */
    double min[3];
    /**
     * Greatest coordinates, inclusive.
     */
    double max[3];
} SegvolBox;

/**
 * One object: any mix of a name, points and a box, but at least one of them. Set it up with segvol_prompt_init().
 */
typedef struct SegvolPrompt {
    /**
     * Set by segvol_prompt_init().
     */
    size_t size;
    /**
     * The object's name as a text prompt, such as "liver"; NULL: none.
     */
    const char *text;
    /**
     * Points; NULL if there are none.
     */
    const struct SegvolPoint *points;
    /**
     * How many there are.
     */
    size_t points_len;
    /**
     * A box; NULL: none.
     */
    const struct SegvolBox *bounding_box;
    /**
     * What to call the object in the report; NULL: its text, else "object".
     */
    const char *name;
    /**
     * What the coordinates of points and box mean: a SegvolSpace; voxels by default.
     */
    int32_t space;
    /**
     * Must be 0.
     */
    int32_t reserved;
} SegvolPrompt;

/**
 * Is told how far a call has come: `done` of `total` windows, the first of them the zoom-out window. Gives 0 to go on;
 * anything else ends the call with CANCELLED. It runs in the thread of the call, after every window.
 *
 * It must return: no longjmp, and no C++ exception may leave it. It may call this library, and free what the call does
 * not use.
 */
typedef int (*SegvolProgress)(size_t done, size_t total, void *user_data);

/**
 * What a study has done since it was made. Set `size` with segvol_study_statistics_init().
 */
typedef struct SegvolStudyStatistics {
    /**
     * Set by segvol_study_statistics_init().
     */
    size_t size;
    /**
     * Windows that went through the image encoder, which is nearly all of the time.
     */
    uint64_t windows_encoded;
    /**
     * Times that a kept embedding served one more object or call instead.
     */
    uint64_t windows_reused;
} SegvolStudyStatistics;

/**
 * What a mask says of one label. Set `size` with segvol_mask_statistics_init().
 */
typedef struct SegvolMaskStatistics {
    /**
     * Set by segvol_mask_statistics_init().
     */
    size_t size;
    /**
     * Voxels that have the label.
     */
    uint64_t voxels;
    /**
     * Their volume in millilitres.
     */
    double volume_ml;
    /**
     * Least i, j, k among them; 0 where there are none.
     */
    size_t box_min[3];
    /**
     * Greatest i, j, k among them, inclusive; 0 where there are none.
     */
    size_t box_max[3];
} SegvolMaskStatistics;

/**
 * Is told a message: its SegvolLogLevel, and a line of UTF-8 that lives until it returns.
 *
 * It may run in any thread, in several at once, and must return: no longjmp, no C++ exception may leave it. It may call
 * this library, whose messages are then lost, but not segvol_log_set().
 */
typedef void (*SegvolLog)(int32_t level, const char *message, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * Statuses, versions, messages
 * ----------------------------
 */

/**
 * A status' name, such as `SEGVOL_STATUS_OK`; of any other number `unknown status`. Never NULL, never to be freed.
 *
 * Any thread, any time.
 */
const char *segvol_status_name(int32_t status);

/**
 * The loaded library's version, such as `0.1.0`. Never NULL, never to be freed.
 *
 * Any thread, any time.
 */
const char *segvol_version(void);

/**
 * The loaded library's interface: equal to SEGVOL_ABI_VERSION, or the program was compiled for another library.
 *
 * Any thread, any time.
 */
uint32_t segvol_abi_version(void);

/**
 * What went wrong in this thread's last call that failed: which argument, what was expected, what was found. Empty
 * before the first failure; a call that succeeds leaves it as it is. UTF-8, never NULL, never to be freed; it lives
 * until the next call of this thread that fails.
 *
 * Any thread, any time.
 */
const char *segvol_last_error(void);

/**
 * Frees a text that the caller owns: one that a function gave by a `char **`. NULL is nothing.
 *
 * Any thread.
 */
void segvol_string_free(char *text);

/*
 * A bundle, opened
 * ----------------
 */

/**
 * Opens a bundle, the folder that `segvol convert` makes: checks the hash of every file, then starts ONNX Runtime. Takes
 * from a second to, with TensorRT's engines, minutes.
 *
 * `bundle`: the folder, UTF-8. `options`: NULL for the defaults. `*model` is the caller's, to be freed with
 * segvol_model_free().
 *
 * BUNDLE, LIBRARY, PROVIDER_UNKNOWN, PROVIDER_MISSING, PROVIDER_FAILED, PROVIDER_OPTION, OPTION, ARGUMENT, RUN.
 * Any thread.
 */
SegvolStatus segvol_model_open(const char *bundle,
                               const struct SegvolOptions *options,
                               struct SegvolModel **model);

/**
 * The provider that the model's graphs run on, such as `cpu`; with `auto`, the one that was chosen. NULL for NULL; never
 * to be freed.
 *
 * Any thread, any time.
 */
const char *segvol_model_provider(const struct SegvolModel *model);

/**
 * What the bundle holds, as JSON text: its manifest. `*json` is the caller's, to be freed with segvol_string_free().
 *
 * Any thread; side by side with anything but the model's free.
 */
SegvolStatus segvol_model_manifest(const struct SegvolModel *model, char **json);

/**
 * Frees a model. Studies and results that were made with it stay whole: they share what they need. NULL is nothing.
 *
 * Any thread, when no other uses this handle.
 */
void segvol_model_free(struct SegvolModel *model);

/*
 * A scan, from a file or from memory
 * ----------------------------------
 */

/**
 * Reads a NIfTI file, .nii or .nii.gz. `path`: UTF-8. `*volume` is the caller's, to be freed with segvol_volume_free().
 *
 * FILE, MEMORY. Any thread.
 */
SegvolStatus segvol_volume_open(const char *path, struct SegvolVolume **volume);

/**
 * Sets defaults. `size`: sizeof(SegvolBuffer).
 *
 * ARGUMENT. Any thread.
 */
SegvolStatus segvol_buffer_init(struct SegvolBuffer *buffer, size_t size);

/**
 * Takes a scan from the caller's memory, which is read once (as float32, in the order that is needed) and may be freed as
 * soon as this returns. `*volume` is the caller's, to be freed with segvol_volume_free().
 *
 * SHAPE, STRIDE, ELEMENT, AFFINE, ARGUMENT, MEMORY. Any thread.
 */
SegvolStatus segvol_volume_from_buffer(const struct SegvolBuffer *buffer,
                                       struct SegvolVolume **volume);

/**
 * The number of voxels along the file's axes i, j, k.
 *
 * Any thread.
 */
SegvolStatus segvol_volume_shape(const struct SegvolVolume *volume, size_t shape[3]);

/**
 * From a voxel's index to RAS+ millimetres: three rows of four, as in SegvolBuffer.
 *
 * Any thread.
 */
SegvolStatus segvol_volume_affine(const struct SegvolVolume *volume, double affine[12]);

/**
 * Frees a volume. Studies of it stay whole. NULL is nothing.
 *
 * Any thread, when no other uses this handle.
 */
void segvol_volume_free(struct SegvolVolume *volume);

/*
 * A scan, ready for prompts
 * -------------------------
 */

/**
 * Prepares a scan: turned to the patient's axes, normalised, cropped to the body.
 *
 * `options`: NULL for those that the model was opened with; else zoom_in, overlap, orientation, profile and cache_bytes
 * count for this scan, and the rest stays the model's. The study keeps what it needs of model and volume: both may be
 * freed. `*study` is the caller's, to be freed with segvol_study_free().
 *
 * INTENSITY, OPTION, ARGUMENT, MEMORY. Any thread; one model serves several threads.
 */
SegvolStatus segvol_study_new(const struct SegvolModel *model,
                              const struct SegvolVolume *volume,
                              const struct SegvolOptions *options,
                              struct SegvolStudy **study);

/**
 * Segments one object. `*mask` is the caller's, to be freed with segvol_mask_free(): 1 in the object, 0 elsewhere, on the
 * scan's grid.
 *
 * PROMPT, OUTSIDE_SCAN, TEXT, ARGUMENT, RUN, NOT_FINITE, MEMORY, and BUNDLE where its files were written to since it was
 * opened. Any thread; calls on one study, or on studies of one model, take turns where they need the same graph.
 */
SegvolStatus segvol_study_segment(const struct SegvolStudy *study,
                                  const struct SegvolPrompt *prompt,
                                  struct SegvolMask **mask);

/**
 * Segments several objects: windows that they share are encoded once. The prompts stand one after the other, all of one
 * `size`.
 *
 * `progress`: NULL for none; `user_data` is handed to it. `*result` is the caller's, to be freed with
 * segvol_result_free(); it has one object per prompt, in their order.
 *
 * CANCELLED, and as for segvol_study_segment(). Any thread, likewise.
 */
SegvolStatus segvol_study_segment_all(const struct SegvolStudy *study,
                                      const struct SegvolPrompt *prompts,
                                      size_t prompts_len,
                                      SegvolProgress progress,
                                      void *user_data,
                                      struct SegvolResult **result);

/**
 * The number of voxels along the scan's axes i, j, k.
 *
 * Any thread.
 */
SegvolStatus segvol_study_shape(const struct SegvolStudy *study, size_t shape[3]);

/**
 * Sets `size`. `size`: sizeof(SegvolStudyStatistics).
 *
 * ARGUMENT. Any thread.
 */
SegvolStatus segvol_study_statistics_init(struct SegvolStudyStatistics *statistics, size_t size);

/**
 * What the study has done since it was made.
 *
 * ARGUMENT. Any thread, also while another segments.
 */
SegvolStatus segvol_study_statistics(const struct SegvolStudy *study, struct SegvolStudyStatistics *statistics);

/**
 * Frees a study. Results of it stay whole. NULL is nothing.
 *
 * Any thread, when no other uses this handle.
 */
void segvol_study_free(struct SegvolStudy *study);

/*
 * The objects of one call
 * -----------------------
 */

/**
 * How many objects there are: as many as prompts. 0 for NULL.
 *
 * Any thread.
 */
size_t segvol_result_len(const struct SegvolResult *result);

/**
 * The mask of one object, counted from 0: 1 in the object, 0 elsewhere; masks of objects may overlap. `*mask` is the
 * caller's, to be freed with segvol_mask_free().
 *
 * INDEX, MEMORY. Any thread.
 */
SegvolStatus segvol_result_mask(const struct SegvolResult *result, size_t index, struct SegvolMask **mask);

/**
 * All objects in one mask: 1 for the first, 2 for the second, and so on, 0 for none; where they overlap, the one that the
 * model is surer of. `*mask` is the caller's, to be freed with segvol_mask_free().
 *
 * MEMORY. Any thread.
 */
SegvolStatus segvol_result_label_map(const struct SegvolResult *result,
                                     struct SegvolMask **mask);

/**
 * What was done, as JSON text: bundle, provider and precision that ran, windows, times; volume, box and warnings per object,
 * such as that a point in the air was moved to the body. `*json` is the caller's, to be freed with segvol_string_free().
 *
 * Any thread.
 */
SegvolStatus segvol_result_report(const struct SegvolResult *result,
                                  char **json);

/**
 * Frees a result. Masks of it stay whole. NULL is nothing.
 *
 * Any thread, when no other uses this handle.
 */
void segvol_result_free(struct SegvolResult *result);

/*
 * Masks
 * -----
 */

/**
 * Writes the mask as NIfTI on the scan's grid, with the affine and codes of the scan's file; .nii or .nii.gz by the name.
 * The file appears whole or not at all. `path`: UTF-8.
 *
 * WRITE. Any thread.
 */
SegvolStatus segvol_mask_save(const struct SegvolMask *mask,
                              const char *path);

/**
 * The number of voxels along the scan's axes i, j, k.
 *
 * Any thread.
 */
SegvolStatus segvol_mask_shape(const struct SegvolMask *mask, size_t shape[3]);

/**
 * The mask where it lies, without a copy: one byte per voxel, i fastest, then j, k. `*voxels` is the mask's, and lives as
 * long as it does.
 *
 * BUFFER for a mask of more than 255 labels: segvol_mask_copy_u16() has those. Any thread.
 */
SegvolStatus segvol_mask_voxels(const struct SegvolMask *mask,
                                const uint8_t **voxels);

/**
 * Copies the mask, one byte per voxel.
 *
 * `voxels`: where voxel (0, 0, 0) goes. `len`: bytes that may be written from there on. `strides`: bytes from a voxel to its
 * neighbour along i, j, k, all positive; NULL: no gaps, i fastest, then j, k. Bytes between voxels are left as they are.
 *
 * STRIDE; BUFFER if `len` is too small, or for a mask of more than 255 labels. Nothing is written then. Any thread.
 */
SegvolStatus segvol_mask_copy(const struct SegvolMask *mask,
                              uint8_t *voxels,
                              size_t len,
                              const ptrdiff_t strides[3]);

/**
 * As segvol_mask_copy(), two bytes per voxel; `len` and `strides` count uint16_t, not bytes.
 *
 * STRIDE; BUFFER if `len` is too small. Nothing is written then. Any thread.
 */
SegvolStatus segvol_mask_copy_u16(const struct SegvolMask *mask,
                                  uint16_t *voxels,
                                  size_t len,
                                  const ptrdiff_t strides[3]);

/**
 * Sets `size`. `size`: sizeof(SegvolMaskStatistics).
 *
 * ARGUMENT. Any thread.
 */
SegvolStatus segvol_mask_statistics_init(struct SegvolMaskStatistics *statistics, size_t size);

/**
 * Measures one label: 1 for a mask of one object. A label that no voxel has is no error: 0 voxels.
 *
 * ARGUMENT. Any thread.
 */
SegvolStatus segvol_mask_statistics(const struct SegvolMask *mask,
                                    uint16_t label,
                                    struct SegvolMaskStatistics *statistics);

/**
 * Frees a mask. NULL is nothing.
 *
 * Any thread, when no other uses this handle.
 */
void segvol_mask_free(struct SegvolMask *mask);

/*
 * Settings and prompts
 * --------------------
 */

/**
 * Sets defaults. `size`: sizeof(SegvolOptions).
 *
 * ARGUMENT. Any thread.
 */
SegvolStatus segvol_options_init(struct SegvolOptions *options, size_t size);

/**
 * Sets defaults: a prompt that says nothing yet. `size`: sizeof(SegvolPrompt).
 *
 * ARGUMENT. Any thread.
 */
SegvolStatus segvol_prompt_init(struct SegvolPrompt *prompt, size_t size);

/*
 * Providers
 * ---------
 */

/**
 * Loads ONNX Runtime and tries every provider with a small product of matrices. `library`: as in SegvolOptions; NULL for
 * the one that is loaded, or would be. `*providers` is the caller's, to be freed with segvol_providers_free().
 *
 * LIBRARY. Any thread.
 */
SegvolStatus segvol_providers_new(const char *library,
                                  struct SegvolProviders **providers);

/**
 * How many providers there are, usable or not. 0 for NULL.
 *
 * Any thread.
 */
size_t segvol_providers_len(const struct SegvolProviders *providers);

/**
 * The name of one provider, counted from 0, for `provider` of SegvolOptions; NULL for NULL or an index that is too high.
 * It lives as long as the list.
 *
 * Any thread.
 */
const char *segvol_providers_name(const struct SegvolProviders *providers,
                                  size_t index);

/**
 * Why one provider cannot be used; NULL if it can, and also for NULL or an index that is too high. It lives as long as the
 * list.
 *
 * Any thread.
 */
const char *segvol_providers_problem(const struct SegvolProviders *providers,
                                     size_t index);

/**
 * All that was found, as JSON text: the library's file, version and build, providers, devices. `*json` is the caller's, to
 * be freed with segvol_string_free().
 *
 * Any thread.
 */
SegvolStatus segvol_providers_report(const struct SegvolProviders *providers,
                                     char **json);

/**
 * Frees a list. NULL is nothing.
 *
 * Any thread, when no other uses this handle.
 */
void segvol_providers_free(struct SegvolProviders *providers);

/*
 * Log
 * ---
 */

/**
 * Says where messages go, for the whole process; by default nowhere. `level`: the highest SegvolLogLevel that is told.
 * `log`: NULL for nowhere. When this returns, the function that was set before runs no more: its `user_data` may be freed.
 *
 * ARGUMENT; CALLBACK when called by a log function. Any thread.
 */
SegvolStatus segvol_log_set(int32_t level,
                            SegvolLog log,
                            void *user_data);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SEGVOL_H */
