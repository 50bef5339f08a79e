// embed: segments two objects with the C++ wrapper. Handles are freed automatically, failures are exceptions, the callback
// is a lambda.

#include <segvol.hpp>

#include <cstddef>
#include <exception>
#include <iostream>
#include <vector>

int main(int argc, char **argv)
{
    if (argc != 4) {
        std::cerr << "usage: embed BUNDLE SCAN.nii.gz MASK.nii.gz\n";
        return 2;
    }
    try {
        const segvol::Model model(argv[1], segvol::Options().provider("cpu"));
        const segvol::Study study(model, segvol::Volume::open(argv[2]));

        const std::vector<segvol::Prompt> prompts = {
            segvol::Prompt().text("liver"),
            segvol::Prompt().text("spleen").name("the spleen"),
        };
        const segvol::Result result = study.segment(prompts, [](std::size_t done, std::size_t total) {
            std::cout << "window " << done << " of " << total << '\n';
            return true; // Continue.
        });
        for (std::size_t n = 0; n < result.size(); ++n) {
            std::cout << n + 1 << ": " << result.mask(n).statistics(1).volume_ml << " mL\n";
        }
        result.label_map().save(argv[3]);

        try {
            (void)study.segment(segvol::Prompt().point({-1e6, 0, 0}, true));
            std::cerr << "a point far outside the scan was accepted\n";
            return 1;
        } catch (const segvol::Error &error) {
            if (error.status() != SEGVOL_STATUS_OUTSIDE_SCAN) {
                throw;
            }
            std::cout << "as expected: " << error.what() << '\n';
        }
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
