//! The result of a call: one number for every kind of failure.

use std::ffi::{CStr, c_char};

/// The result of a call. A number never changes its meaning and is never reused. Later versions may add numbers.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegvolStatus {
    /// The call succeeded, and the outputs are written.
    Ok = 0,
    /// A fault in this library. Outputs are not written. Please report the message.
    Internal = 1,
    /// A pointer is NULL that must not be.
    Null = 2,
    /// An argument has a value that is not allowed, such as the size of a struct, an enum or a flag.
    Argument = 3,
    /// A string is not UTF-8.
    Utf8 = 4,
    /// An index is too large: it must be less than the number of objects.
    Index = 5,
    /// The caller's buffer is too small, or its elements are too small for the labels.
    Buffer = 6,
    /// A callback called a function that it must not call.
    Callback = 7,
    /// An option is outside its range.
    Option = 8,
    /// The bundle does not exist, is damaged or incomplete, or does not contain the requested precision.
    Bundle = 20,
    /// The ONNX Runtime library is missing or too old, or the process has already loaded another one.
    Library = 21,
    /// There is no provider, or no stage, with that name.
    ProviderUnknown = 22,
    /// The loaded ONNX Runtime was built without the provider.
    ProviderMissing = 23,
    /// The provider cannot be started, or cannot run any part of a stage.
    ProviderFailed = 24,
    /// The provider does not have that option, or does not accept that value.
    ProviderOption = 25,
    /// The file of a scan cannot be read.
    File = 40,
    /// A shape has an axis without voxels, or too many voxels in total.
    Shape = 41,
    /// The strides do not fit the shape or the element type.
    Stride = 42,
    /// There is no element type with that number, or the buffer is not aligned for the type.
    Element = 43,
    /// The affine, spacing, direction or origin is missing or not finite, or the three axes are not independent.
    Affine = 44,
    /// The intensities cannot be normalised: one is NaN or infinite, or all are equal.
    Intensity = 45,
    /// A prompt is empty, has a coordinate that is NaN or infinite, or has a box whose minimum exceeds its maximum.
    Prompt = 60,
    /// A point or box lies outside the scan.
    OutsideScan = 61,
    /// The name of an object is blank, too long, or refused by the model's tokenizer.
    Text = 62,
    /// The progress callback stopped the call. The study can still be used.
    Cancelled = 80,
    /// ONNX Runtime failed while running, for example because it could not allocate memory.
    Run = 81,
    /// A stage's output contains an infinity or NaN.
    NotFinite = 82,
    /// A mask cannot be written: because of the folder, the disk, a write-protected file, or a name that does not end in .nii
    /// or .nii.gz; or the file is the scan's own.
    Write = 83,
    /// There is not enough memory.
    Memory = 84,
}

impl SegvolStatus {
    /// Every status.
    pub(crate) const ALL: [Self; 29] = [
        Self::Ok,
        Self::Internal,
        Self::Null,
        Self::Argument,
        Self::Utf8,
        Self::Index,
        Self::Buffer,
        Self::Callback,
        Self::Option,
        Self::Bundle,
        Self::Library,
        Self::ProviderUnknown,
        Self::ProviderMissing,
        Self::ProviderFailed,
        Self::ProviderOption,
        Self::File,
        Self::Shape,
        Self::Stride,
        Self::Element,
        Self::Affine,
        Self::Intensity,
        Self::Prompt,
        Self::OutsideScan,
        Self::Text,
        Self::Cancelled,
        Self::Run,
        Self::NotFinite,
        Self::Write,
        Self::Memory,
    ];

    /// The name of the status in C.
    #[must_use]
    pub fn name(self) -> &'static CStr {
        match self {
            Self::Ok => c"SEGVOL_STATUS_OK",
            Self::Internal => c"SEGVOL_STATUS_INTERNAL",
            Self::Null => c"SEGVOL_STATUS_NULL",
            Self::Argument => c"SEGVOL_STATUS_ARGUMENT",
            Self::Utf8 => c"SEGVOL_STATUS_UTF8",
            Self::Index => c"SEGVOL_STATUS_INDEX",
            Self::Buffer => c"SEGVOL_STATUS_BUFFER",
            Self::Callback => c"SEGVOL_STATUS_CALLBACK",
            Self::Option => c"SEGVOL_STATUS_OPTION",
            Self::Bundle => c"SEGVOL_STATUS_BUNDLE",
            Self::Library => c"SEGVOL_STATUS_LIBRARY",
            Self::ProviderUnknown => c"SEGVOL_STATUS_PROVIDER_UNKNOWN",
            Self::ProviderMissing => c"SEGVOL_STATUS_PROVIDER_MISSING",
            Self::ProviderFailed => c"SEGVOL_STATUS_PROVIDER_FAILED",
            Self::ProviderOption => c"SEGVOL_STATUS_PROVIDER_OPTION",
            Self::File => c"SEGVOL_STATUS_FILE",
            Self::Shape => c"SEGVOL_STATUS_SHAPE",
            Self::Stride => c"SEGVOL_STATUS_STRIDE",
            Self::Element => c"SEGVOL_STATUS_ELEMENT",
            Self::Affine => c"SEGVOL_STATUS_AFFINE",
            Self::Intensity => c"SEGVOL_STATUS_INTENSITY",
            Self::Prompt => c"SEGVOL_STATUS_PROMPT",
            Self::OutsideScan => c"SEGVOL_STATUS_OUTSIDE_SCAN",
            Self::Text => c"SEGVOL_STATUS_TEXT",
            Self::Cancelled => c"SEGVOL_STATUS_CANCELLED",
            Self::Run => c"SEGVOL_STATUS_RUN",
            Self::NotFinite => c"SEGVOL_STATUS_NOT_FINITE",
            Self::Write => c"SEGVOL_STATUS_WRITE",
            Self::Memory => c"SEGVOL_STATUS_MEMORY",
        }
    }
}

/// Returns the name of a status, such as `SEGVOL_STATUS_OK`, or `unknown status` for any other number.
///
/// The string is static: never NULL, and never to be freed.
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn segvol_status_name(status: i32) -> *const c_char {
    let known = SegvolStatus::ALL.into_iter().find(|known| *known as i32 == status);
    known.map_or(c"unknown status", SegvolStatus::name).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_first_version() {
        let found: Vec<String> = SegvolStatus::ALL
            .map(|status| format!("{} {}", status as i32, status.name().to_str().expect("ASCII")))
            .into();
        let expected = "0 OK, 1 INTERNAL, 2 NULL, 3 ARGUMENT, 4 UTF8, 5 INDEX, 6 BUFFER, 7 CALLBACK, 8 OPTION, 20 BUNDLE, \
                        21 LIBRARY, 22 PROVIDER_UNKNOWN, 23 PROVIDER_MISSING, 24 PROVIDER_FAILED, 25 PROVIDER_OPTION, \
                        40 FILE, 41 SHAPE, 42 STRIDE, 43 ELEMENT, 44 AFFINE, 45 INTENSITY, 60 PROMPT, 61 OUTSIDE_SCAN, \
                        62 TEXT, 80 CANCELLED, 81 RUN, 82 NOT_FINITE, 83 WRITE, 84 MEMORY";
        assert_eq!(found.join(", ").replace("SEGVOL_STATUS_", ""), expected);
    }
}
