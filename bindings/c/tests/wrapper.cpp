// Tests the C++ header: every class, moves, exceptions from a callback. Usage: wrapper BUNDLE SCAN.nii.gz

#include <segvol.hpp>

#include <cstdio>
#include <cstdlib>
#include <type_traits>

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                                \
        }                                                                                \
    } while (0)

static_assert(!std::is_copy_constructible_v<segvol::Model> && std::is_nothrow_move_constructible_v<segvol::Model>);
static_assert(!std::is_copy_constructible_v<segvol::Mask> && std::is_nothrow_move_assignable_v<segvol::Mask>);
static_assert(std::is_base_of_v<std::runtime_error, segvol::Error>);

template <typename Call>
static SegvolStatus thrown(Call &&call)
{
    try {
        call();
    } catch (const segvol::Error &error) {
        CHECK(error.what()[0] != '\0');
        return error.status();
    }
    return SEGVOL_STATUS_OK;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    CHECK(thrown([] { segvol::Model("/nonexistent"); }) == SEGVOL_STATUS_BUNDLE);
    CHECK(thrown([] { segvol::Model("/nonexistent", segvol::Options().provider("gpu")); }) ==
          SEGVOL_STATUS_PROVIDER_UNKNOWN);
    CHECK(thrown([] { (void)segvol::Volume::open("/nonexistent.nii"); }) == SEGVOL_STATUS_FILE);
    CHECK(thrown([] { (void)segvol::Volume::from(segvol::buffer()); }) == SEGVOL_STATUS_AFFINE);

    segvol::Model opened(argv[1], segvol::Options()
                                      .provider("cpu")
                                      .precision("fp32")
                                      .provider_option("cpu.spin=off")
                                      .stage_provider("mask_decoder=cpu")
                                      .threads(1)
                                      .cache_bytes(1 << 28)
                                      .embeddings_bytes(1 << 28));
    const segvol::Model model = std::move(opened);
    CHECK(model.provider() == "cpu");
    CHECK(model.manifest().find("schema_version") != std::string::npos);
    CHECK(model.names() == "null" || !model.check_name("liver"));
    CHECK(model.names() == "null" || model.check_name("livr")->find("\"liver\"") != std::string::npos);

    const segvol::Volume volume{argv[2]};
    CHECK(segvol::Volume::open(argv[2]).shape() == volume.shape() && segvol::onnxruntime_version()->front() == '1');
    const segvol::Study study(model, volume, segvol::Options()
                                                     .zoom_in(true)
                                                     .overlap(0.25)
                                                     .threshold(0.5)
                                                     .effort(SEGVOL_EFFORT_EXACT)
                                                     .independent(true));
    CHECK(study.shape() == volume.shape());
    CHECK(volume.affine()[3] == volume.affine()[3]);

    segvol::Mask mask = study.segment(segvol::Prompt().text("liver"));
    const segvol::Shape shape = mask.shape();
    const std::vector<std::uint16_t> copy = mask.copy();
    std::uint64_t inside = 0;
    for (std::size_t n = 0; n < copy.size(); ++n) {
        CHECK(copy[n] == mask.voxels()[n]);
        inside += copy[n];
    }
    CHECK(copy.size() == shape[0] * shape[1] * shape[2] && mask.statistics(1).voxels == inside);
    mask = study.segment(segvol::Prompt()
                             .point({shape[0] / 2.0, shape[1] / 2.0, shape[2] / 2.0}, true)
                             .box({8, 8, 8}, {shape[0] - 8.0, shape[1] - 8.0, shape[2] - 8.0})
                             .space(SEGVOL_SPACE_VOXEL));

    // The call throws what the callback has thrown, and the study can still be used.
    const std::vector<segvol::Prompt> prompts = {segvol::Prompt().text("liver"), segvol::Prompt().text("spleen").name("s")};
    bool caught = false;
    try {
        (void)study.segment(prompts, [](std::size_t, std::size_t) -> bool { throw std::out_of_range("enough"); });
    } catch (const std::out_of_range &error) {
        caught = std::string(error.what()) == "enough";
    }
    CHECK(caught);
    CHECK(thrown([&] { (void)study.segment(prompts, [](std::size_t, std::size_t) { return false; }); }) ==
          SEGVOL_STATUS_CANCELLED);
    caught = false;
    try {
        (void)study.segment(prompts, nullptr, [](const segvol::CoarseResult &) -> bool { throw std::out_of_range("coarse"); });
    } catch (const std::out_of_range &error) {
        caught = std::string(error.what()) == "coarse";
    }
    CHECK(caught);
    CHECK(thrown([&] { (void)study.segment(prompts, nullptr, [](const segvol::CoarseResult &) { return false; }); }) ==
          SEGVOL_STATUS_CANCELLED);
    std::optional<segvol::Mask> kept;
    std::size_t windows = 0;
    const segvol::Result result = study.segment(
        prompts, [&](std::size_t done, std::size_t) { return (windows = done) > 0; },
        [&](const segvol::CoarseResult &coarse) {
            CHECK(windows == 0 && coarse.size() == 2 && coarse.shape() == shape);
            kept = coarse.mask(0);
            return true;
        });
    CHECK(windows > 1 && kept && kept->statistics(1).voxels > 0);
    CHECK(result.size() == 2 && result.label_map().shape() == shape);
    CHECK(result.report().find("\"s\"") != std::string::npos);
    CHECK(result.warnings(1).front() == '[');
    const std::vector<float> logits = result.logits(0), probabilities = result.probabilities(0);
    CHECK(result.shape() == shape && logits.size() == copy.size() && probabilities.size() == copy.size());
    for (std::size_t n = 0; n < copy.size(); ++n) {
        CHECK((logits[n] > 0.0F) == (copy[n] == 1) && probabilities[n] >= 0.0F && probabilities[n] <= 1.0F);
    }
    CHECK(thrown([&] { (void)result.logits(2); }) == SEGVOL_STATUS_INDEX);
    study.cancel();
    CHECK(thrown([&] { (void)study.segment(segvol::Prompt().text("liver")); }) == SEGVOL_STATUS_CANCELLED);
    study.resume();
    CHECK(thrown([&] { (void)result.mask(2); }) == SEGVOL_STATUS_INDEX);
    CHECK(study.statistics().windows_reused > 0);

    bool cpu = false;
    for (const segvol::Provider &provider : segvol::providers()) {
        cpu = cpu || (provider.name == "cpu" && !provider.problem);
    }
    CHECK(cpu);
    std::printf("wrapper: passed\n");
    return 0;
}
