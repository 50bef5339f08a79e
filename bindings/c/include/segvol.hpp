// segvol.hpp: a C++17 wrapper of segvol.h, which is the manual: its rules on threads, axes and units also hold here.
//
// Classes own their handles, free them, and can be moved but not copied. A failure throws segvol::Error. A callback is any
// callable object. As with the C interface: research software, not a medical device.

#ifndef SEGVOL_HPP
#define SEGVOL_HPP

#include <segvol.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace segvol {

// A failed call: its status and the library's message.
class Error : public std::runtime_error {
public:
    Error(SegvolStatus status, const std::string &message) : std::runtime_error(message), status_(status) {}

    [[nodiscard]] SegvolStatus status() const noexcept { return status_; }

private:
    SegvolStatus status_;
};

namespace detail {

inline void check(SegvolStatus status)
{
    if (status != SEGVOL_STATUS_OK) {
        throw Error(status, segvol_last_error());
    }
}

template <auto Free>
struct Freed {
    template <typename T>
    void operator()(T *handle) const noexcept
    {
        Free(handle);
    }
};

template <typename T, auto Free>
using Handle = std::unique_ptr<T, Freed<Free>>;

inline std::string take(char *text)
{
    const Handle<char, segvol_string_free> owned(text);
    return std::string(owned.get());
}

// Pointers to the strings, which must neither move nor change while the pointers are used.
inline std::vector<const char *> pointers(const std::vector<std::string> &texts)
{
    std::vector<const char *> found;
    found.reserve(texts.size());
    for (const std::string &text : texts) {
        found.push_back(text.c_str());
    }
    return found;
}

inline const char *pointer(const std::optional<std::string> &text)
{
    return text ? text->c_str() : nullptr;
}

} // namespace detail

using Shape = std::array<std::size_t, 3>;
using Place = std::array<double, 3>;

// Returns the version of the loaded library.
inline std::string version()
{
    return segvol_version();
}

// Returns the version of the ONNX Runtime library that is loaded; nothing before the first model is opened.
inline std::optional<std::string> onnxruntime_version()
{
    const char *version = segvol_onnxruntime_version();
    return version == nullptr ? std::nullopt : std::optional<std::string>(version);
}

// Throws if the loaded library does not have the interface of this header.
inline void check_abi()
{
    if (segvol_abi_version() != SEGVOL_ABI_VERSION) {
        throw std::runtime_error("libsegvol " + version() + " has a different interface from the header of this program");
    }
}

// Options for opening a bundle and for segmenting scans; see SegvolOptions.
class Options {
public:
    Options() { detail::check(segvol_options_init(&values_, sizeof values_)); }

    Options &provider(std::string name) { return set(provider_, std::move(name)); }

    Options &precision(std::string name) { return set(precision_, std::move(name)); }

    Options &library(std::string path) { return set(library_, std::move(path)); }

    // "KEY=VALUE" or "PROVIDER.KEY=VALUE".
    Options &provider_option(std::string option)
    {
        provider_options_.push_back(std::move(option));
        return *this;
    }

    // "STAGE=PROVIDER".
    Options &stage_provider(std::string stage)
    {
        stage_providers_.push_back(std::move(stage));
        return *this;
    }

    Options &threads(std::size_t threads) { return set(values_.threads, threads); }

    Options &cache_bytes(std::size_t bytes) { return set(values_.cache_bytes, bytes); }

    // A folder for image embeddings, which a later process reads instead of encoding them again.
    Options &embeddings(std::string folder) { return set(embeddings_, std::move(folder)); }

    Options &embeddings_bytes(std::uint64_t bytes) { return set(values_.embeddings_bytes, bytes); }

    Options &overlap(double share) { return set(values_.overlap, share); }

    // The probability above which a voxel is in a mask.
    Options &threshold(double probability) { return set(values_.threshold, probability); }

    Options &zoom_in(bool on) { return set(values_.zoom_in, on ? 1 : 0); }

    Options &orientation(SegvolOrientation orientation) { return set(values_.orientation, orientation); }

    // Three letters, such as "LPS".
    Options &axes(std::string codes) { return set(axes_, std::move(codes)); }

    Options &profile(SegvolProfile profile) { return set(values_.profile, profile); }
    Options &effort(SegvolEffort effort) { return set(values_.effort, effort); }
    Options &independent(bool independent) { return set(values_.independent, independent ? 1 : 0); }

    // Calls `use` with the options as a C struct, which is valid until `use` returns.
    template <typename Use>
    void with(Use &&use) const
    {
        const std::vector<const char *> provider_options = detail::pointers(provider_options_);
        const std::vector<const char *> stage_providers = detail::pointers(stage_providers_);
        SegvolOptions values = values_;
        values.provider = detail::pointer(provider_);
        values.precision = detail::pointer(precision_);
        values.library = detail::pointer(library_);
        values.axes = detail::pointer(axes_);
        values.embeddings = detail::pointer(embeddings_);
        values.provider_options = provider_options.data();
        values.provider_options_len = provider_options.size();
        values.stage_providers = stage_providers.data();
        values.stage_providers_len = stage_providers.size();
        std::forward<Use>(use)(&values);
    }

private:
    template <typename Field, typename Value>
    Options &set(Field &field, Value value)
    {
        field = std::move(value);
        return *this;
    }

    SegvolOptions values_{};
    std::optional<std::string> provider_;
    std::optional<std::string> precision_;
    std::optional<std::string> library_;
    std::optional<std::string> axes_;
    std::optional<std::string> embeddings_;
    std::vector<std::string> provider_options_;
    std::vector<std::string> stage_providers_;
};

// A model: an open bundle.
class Model {
public:
    explicit Model(const std::string &bundle, const Options &options = Options())
    {
        check_abi();
        options.with([&](const SegvolOptions *values) {
            SegvolModel *handle = nullptr;
            detail::check(segvol_model_open(bundle.c_str(), values, &handle));
            handle_.reset(handle);
        });
    }

    [[nodiscard]] std::string provider() const { return segvol_model_provider(handle_.get()); }

    // Returns the manifest of the bundle, as JSON.
    [[nodiscard]] std::string manifest() const
    {
        char *text = nullptr;
        detail::check(segvol_model_manifest(handle_.get(), &text));
        return detail::take(text);
    }

    // Returns the names that the model was trained with, as JSON; "null" if the bundle has no list of them.
    [[nodiscard]] std::string names() const
    {
        char *text = nullptr;
        detail::check(segvol_model_names(handle_.get(), &text));
        return detail::take(text);
    }

    // Returns what to say about a text prompt that the model was not trained with, as JSON; nothing if it was, or if the
    // bundle has no list of names.
    [[nodiscard]] std::optional<std::string> check_name(const std::string &name) const
    {
        char *text = nullptr;
        detail::check(segvol_model_check_name(handle_.get(), name.c_str(), &text));
        return text == nullptr ? std::nullopt : std::optional<std::string>(detail::take(text));
    }

    [[nodiscard]] const SegvolModel *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<SegvolModel, segvol_model_free> handle_;
};

// Returns a SegvolBuffer with all defaults, for a scan in the program's memory.
inline SegvolBuffer buffer()
{
    SegvolBuffer buffer{};
    detail::check(segvol_buffer_init(&buffer, sizeof buffer));
    return buffer;
}

// A scan: its intensities, and the position of its voxels in the patient.
class Volume {
public:
    // Reads a scan: NIfTI, NRRD, MetaImage; DICOM if the library was built with it.
    explicit Volume(const std::string &path)
    {
        SegvolVolume *handle = nullptr;
        detail::check(segvol_volume_open(path.c_str(), &handle));
        handle_.reset(handle);
    }

    // Reads a scan. If the sform and qform of a NIfTI file differ, `affine` says which one is used.
    Volume(const std::string &path, SegvolAffine affine)
    {
        SegvolReadOptions options{};
        detail::check(segvol_read_options_init(&options, sizeof options));
        options.affine = affine;
        SegvolVolume *handle = nullptr;
        detail::check(segvol_volume_open_with(path.c_str(), &options, &handle));
        handle_.reset(handle);
    }

    // Reads the DICOM series with this Series Instance UID or Series Number.
    Volume(const std::string &path, const std::string &series)
    {
        SegvolReadOptions options{};
        detail::check(segvol_read_options_init(&options, sizeof options));
        options.series = series.c_str();
        SegvolVolume *handle = nullptr;
        detail::check(segvol_volume_open_with(path.c_str(), &options, &handle));
        handle_.reset(handle);
    }

    // Copies a scan from the program's memory, which may be freed afterwards.
    explicit Volume(const SegvolBuffer &buffer)
    {
        SegvolVolume *handle = nullptr;
        detail::check(segvol_volume_from_buffer(&buffer, &handle));
        handle_.reset(handle);
    }

    // The same as functions.
    [[nodiscard]] static Volume open(const std::string &path) { return Volume(path); }

    [[nodiscard]] static Volume open(const std::string &path, SegvolAffine affine) { return Volume(path, affine); }

    [[nodiscard]] static Volume from(const SegvolBuffer &buffer) { return Volume(buffer); }

    [[nodiscard]] Shape shape() const
    {
        Shape shape{};
        detail::check(segvol_volume_shape(handle_.get(), shape.data()));
        return shape;
    }

    // Returns the affine from the voxel (i, j, k) to millimetres in RAS: a 3 x 4 matrix, row by row.
    [[nodiscard]] std::array<double, 12> affine() const
    {
        std::array<double, 12> affine{};
        detail::check(segvol_volume_affine(handle_.get(), affine.data()));
        return affine;
    }

    [[nodiscard]] const SegvolVolume *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<SegvolVolume, segvol_volume_free> handle_;
};

// The prompts for one object: a name, points, a box, or any combination of them.
class Prompt {
public:
    Prompt() { detail::check(segvol_prompt_init(&values_, sizeof values_)); }

    Prompt &text(std::string text)
    {
        text_ = std::move(text);
        return *this;
    }

    Prompt &name(std::string name)
    {
        name_ = std::move(name);
        return *this;
    }

    Prompt &point(const Place &at, bool in_the_object)
    {
        points_.push_back({{at[0], at[1], at[2]}, in_the_object ? 1 : 0, 0});
        return *this;
    }

    // `max` is inclusive.
    Prompt &box(const Place &min, const Place &max)
    {
        box_ = SegvolBox{{min[0], min[1], min[2]}, {max[0], max[1], max[2]}};
        return *this;
    }

    // Sets the coordinate system of points and box; voxels if this is not called.
    Prompt &space(SegvolSpace space)
    {
        values_.space = space;
        return *this;
    }

    // Returns the prompt as a C struct, which is valid until this object is changed or destroyed.
    [[nodiscard]] SegvolPrompt view() const
    {
        SegvolPrompt values = values_;
        values.text = detail::pointer(text_);
        values.name = detail::pointer(name_);
        values.points = points_.data();
        values.points_len = points_.size();
        values.bounding_box = box_ ? &*box_ : nullptr;
        return values;
    }

private:
    SegvolPrompt values_{};
    std::optional<std::string> text_;
    std::optional<std::string> name_;
    std::vector<SegvolPoint> points_;
    std::optional<SegvolBox> box_;
};

// A mask: one label per voxel, on the scan's grid.
class Mask {
public:
    explicit Mask(SegvolMask *handle) : handle_(handle) {}

    void save(const std::string &path) const { detail::check(segvol_mask_save(handle_.get(), path.c_str())); }

    [[nodiscard]] Shape shape() const
    {
        Shape shape{};
        detail::check(segvol_mask_shape(handle_.get(), shape.data()));
        return shape;
    }

    // Returns the labels without a copy: one byte per voxel, i fastest. The mask owns them.
    [[nodiscard]] const std::uint8_t *voxels() const
    {
        const std::uint8_t *voxels = nullptr;
        detail::check(segvol_mask_voxels(handle_.get(), &voxels));
        return voxels;
    }

    // Returns a copy of the labels, two bytes per voxel, which also holds labels above 255.
    [[nodiscard]] std::vector<std::uint16_t> copy() const
    {
        const Shape size = shape();
        std::vector<std::uint16_t> voxels(size[0] * size[1] * size[2]);
        detail::check(segvol_mask_copy_u16(handle_.get(), voxels.data(), voxels.size(), nullptr));
        return voxels;
    }

    [[nodiscard]] SegvolMaskStatistics statistics(std::uint16_t label) const
    {
        SegvolMaskStatistics statistics{};
        detail::check(segvol_mask_statistics_init(&statistics, sizeof statistics));
        detail::check(segvol_mask_statistics(handle_.get(), label, &statistics));
        return statistics;
    }

    [[nodiscard]] const SegvolMask *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<SegvolMask, segvol_mask_free> handle_;
};

// Returns settings of the postprocessing in which all steps are off.
[[nodiscard]] inline SegvolPostprocessing postprocessing()
{
    SegvolPostprocessing steps{};
    detail::check(segvol_postprocessing_init(&steps, sizeof steps));
    return steps;
}

namespace detail {

// What can be asked about the objects of a call; `Self::get()` returns the handle.
template <typename Self>
class Objects {
public:
    [[nodiscard]] std::size_t size() const noexcept { return segvol_result_len(handle()); }

    [[nodiscard]] Mask mask(std::size_t index) const
    {
        SegvolMask *mask = nullptr;
        detail::check(segvol_result_mask(handle(), index, &mask));
        return Mask(mask);
    }

    // Returns one mask of all objects: 1 for the first, 2 for the second, and so on, and 0 for the background.
    [[nodiscard]] Mask label_map() const
    {
        SegvolMask *mask = nullptr;
        detail::check(segvol_result_label_map(handle(), &mask));
        return Mask(mask);
    }

    // Returns the mask of one object after postprocessing; `postprocessing()` makes the settings.
    [[nodiscard]] Mask mask(std::size_t index, const SegvolPostprocessing &steps) const
    {
        SegvolMask *mask = nullptr;
        detail::check(segvol_result_mask_with(handle(), index, &steps, &mask, nullptr));
        return Mask(mask);
    }

    // Returns one mask of all objects, whose masks are postprocessed one by one.
    [[nodiscard]] Mask label_map(const SegvolPostprocessing &steps) const
    {
        SegvolMask *mask = nullptr;
        detail::check(segvol_result_label_map_with(handle(), &steps, &mask));
        return Mask(mask);
    }

    [[nodiscard]] Shape shape() const
    {
        Shape shape{};
        detail::check(segvol_result_shape(handle(), shape.data()));
        return shape;
    }

    // Returns the logits of one object: one per voxel of the scan, i fastest, NaN outside the body's box.
    [[nodiscard]] std::vector<float> logits(std::size_t index) const { return map(index, segvol_result_logits); }

    // Returns the probabilities of one object, from 0 to 1, in the same order; 0 outside the body's box.
    [[nodiscard]] std::vector<float> probabilities(std::size_t index) const
    {
        return map(index, segvol_result_probabilities);
    }

    // Writes the logits of one object to a NIfTI file on the scan's grid.
    void save_logits(std::size_t index, const std::string &path, SegvolFloatType type = SEGVOL_FLOAT_TYPE_FLOAT32) const
    {
        detail::check(segvol_result_save_logits(handle(), index, path.c_str(), type));
    }

    // Writes the probabilities of one object to a NIfTI file on the scan's grid.
    void save_probabilities(std::size_t index, const std::string &path,
                            SegvolFloatType type = SEGVOL_FLOAT_TYPE_FLOAT32) const
    {
        detail::check(segvol_result_save_probabilities(handle(), index, path.c_str(), type));
    }

    // Returns the warnings about one object, as JSON: a list of objects with `code` and `message`.
    [[nodiscard]] std::string warnings(std::size_t index) const
    {
        char *text = nullptr;
        detail::check(segvol_result_warnings(handle(), index, &text));
        return detail::take(text);
    }

    // Returns the report of the call, as JSON.
    [[nodiscard]] std::string report() const
    {
        char *text = nullptr;
        detail::check(segvol_result_report(handle(), &text));
        return detail::take(text);
    }

private:
    [[nodiscard]] const SegvolResult *handle() const noexcept { return static_cast<const Self *>(this)->get(); }

    template <typename Copy>
    [[nodiscard]] std::vector<float> map(std::size_t index, Copy copy) const
    {
        const Shape size = shape();
        std::vector<float> values(size[0] * size[1] * size[2]);
        detail::check(copy(handle(), index, values.data(), values.size()));
        return values;
    }
};

} // namespace detail

// The objects that one call has segmented.
class Result : public detail::Objects<Result> {
public:
    explicit Result(SegvolResult *handle) : handle_(handle) {}

    [[nodiscard]] const SegvolResult *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<SegvolResult, segvol_result_free> handle_;
};

// The objects as the zoom-out pass has found them, valid until the callback returns. Masks that are made from it stay valid.
class CoarseResult : public detail::Objects<CoarseResult> {
public:
    explicit CoarseResult(const SegvolResult *handle) : handle_(handle) {}

    CoarseResult(const CoarseResult &) = delete;
    CoarseResult &operator=(const CoarseResult &) = delete;

    [[nodiscard]] const SegvolResult *get() const noexcept { return handle_; }

private:
    const SegvolResult *handle_;
};

// A callback that receives the progress of a call, in windows. Returns true to continue, false to stop. An exception that it
// throws also stops the call, which then throws it.
using Progress = std::function<bool(std::size_t done, std::size_t total)>;

// A callback that receives the coarse masks of a call, after its first window. It answers like a Progress.
using Coarse = std::function<bool(const CoarseResult &coarse)>;

// One scan that is ready for prompts.
class Study {
public:
    Study(const Model &model, const Volume &volume)
    {
        SegvolStudy *handle = nullptr;
        detail::check(segvol_study_new(model.get(), volume.get(), nullptr, &handle));
        handle_.reset(handle);
    }

    Study(const Model &model, const Volume &volume, const Options &options)
    {
        options.with([&](const SegvolOptions *values) {
            SegvolStudy *handle = nullptr;
            detail::check(segvol_study_new(model.get(), volume.get(), values, &handle));
            handle_.reset(handle);
        });
    }

    [[nodiscard]] Mask segment(const Prompt &prompt) const
    {
        const SegvolPrompt values = prompt.view();
        SegvolMask *mask = nullptr;
        detail::check(segvol_study_segment(handle_.get(), &values, &mask));
        return Mask(mask);
    }

    // Throws Error with SEGVOL_STATUS_CANCELLED if `progress` or `coarse` returns false.
    [[nodiscard]] Result segment(const std::vector<Prompt> &prompts, const Progress &progress = nullptr,
                                 const Coarse &coarse = nullptr) const
    {
        std::vector<SegvolPrompt> values;
        values.reserve(prompts.size());
        for (const Prompt &prompt : prompts) {
            values.push_back(prompt.view());
        }
        Call call{&progress, &coarse, nullptr};
        SegvolCallbacks callbacks{};
        detail::check(segvol_callbacks_init(&callbacks, sizeof callbacks));
        callbacks.progress = progress ? &Study::forward : nullptr;
        callbacks.coarse = coarse ? &Study::forward_coarse : nullptr;
        callbacks.user_data = &call;
        SegvolResult *result = nullptr;
        const SegvolStatus status =
            segvol_study_segment_with(handle_.get(), values.data(), values.size(), &callbacks, &result);
        if (call.thrown) {
            std::rethrow_exception(call.thrown);
        }
        detail::check(status);
        return Result(result);
    }

    // Stops the calls that segment with this study, from any thread. They throw Error with SEGVOL_STATUS_CANCELLED, and so do
    // later ones, until resume().
    void cancel() const { detail::check(segvol_study_cancel(handle_.get())); }

    void resume() const { detail::check(segvol_study_resume(handle_.get())); }

    [[nodiscard]] Shape shape() const
    {
        Shape shape{};
        detail::check(segvol_study_shape(handle_.get(), shape.data()));
        return shape;
    }

    [[nodiscard]] SegvolStudyStatistics statistics() const
    {
        SegvolStudyStatistics statistics{};
        detail::check(segvol_study_statistics_init(&statistics, sizeof statistics));
        detail::check(segvol_study_statistics(handle_.get(), &statistics));
        return statistics;
    }

private:
    struct Call {
        const Progress *progress;
        const Coarse *coarse;
        std::exception_ptr thrown;
    };

    // An exception must not leave a callback of C, so it is kept in `call`.
    template <typename Ask>
    static int answer(Call &call, Ask &&ask) noexcept
    {
        try {
            return ask() ? 0 : 1;
        } catch (...) {
            call.thrown = std::current_exception();
            return 1;
        }
    }

    static int forward(std::size_t done, std::size_t total, void *user_data) noexcept
    {
        Call &call = *static_cast<Call *>(user_data);
        return answer(call, [&] { return (*call.progress)(done, total); });
    }

    static int forward_coarse(const SegvolResult *coarse, void *user_data) noexcept
    {
        Call &call = *static_cast<Call *>(user_data);
        return answer(call, [&] { return (*call.coarse)(CoarseResult(coarse)); });
    }

    detail::Handle<SegvolStudy, segvol_study_free> handle_;
};

// An execution provider of the loaded ONNX Runtime.
struct Provider {
    std::string name;
    std::optional<std::string> problem; // Why it cannot be used; empty if it can.
};

// Tries every execution provider. An empty `library` stands for the library that is already loaded, or would be by default.
[[nodiscard]] inline std::vector<Provider> providers(const std::string &library = std::string())
{
    SegvolProviders *list = nullptr;
    detail::check(segvol_providers_new(library.empty() ? nullptr : library.c_str(), &list));
    const detail::Handle<SegvolProviders, segvol_providers_free> owned(list);
    std::vector<Provider> found;
    for (std::size_t n = 0; n < segvol_providers_len(list); ++n) {
        const char *problem = segvol_providers_problem(list, n);
        std::optional<std::string> reason;
        if (problem != nullptr) {
            reason = problem;
        }
        found.push_back({segvol_providers_name(list, n), reason});
    }
    return found;
}

} // namespace segvol

#endif // SEGVOL_HPP
