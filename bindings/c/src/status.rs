//! What came of a call: one number for every kind of failure.

use std::ffi::{CStr, c_char};

/// What came of a call. A number never changes its meaning, and none is used again; later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegvolStatus {
    /// Done; outputs are written.
    Ok = 0,
    /// A mistake in this library. Nothing was changed; please report the message.
    Internal = 1,
    /// A pointer that must not be NULL is.
    Null = 2,
    /// An argument is none of the values that it may have: a struct's size, a number of an enum, a flag.
    Argument = 3,
    /// A text is not UTF-8.
    Utf8 = 4,
    /// An index is not less than the number of things.
    Index = 5,
    /// A buffer of the caller's is too small, or its elements are.
    Buffer = 6,
    /// A callback calls what no callback may call.
    Callback = 7,
    /// A setting is outside its range.
    Option = 8,
    /// The bundle is damaged, incomplete, not there, or lacks the precision that was asked for.
    Bundle = 20,
    /// ONNX Runtime's library is missing, too old, or another one is loaded.
    Library = 21,
    /// There is no provider, or stage, of that name.
    ProviderUnknown = 22,
    /// The loaded ONNX Runtime was built without the provider.
    ProviderMissing = 23,
    /// The provider cannot be started, or takes no part of a stage.
    ProviderFailed = 24,
    /// The provider has no such option, or not that value.
    ProviderOption = 25,
    /// A scan's file cannot be read.
    File = 40,
    /// A shape has an axis without voxels, or too many voxels.
    Shape = 41,
    /// Strides do not fit the shape or the element type.
    Stride = 42,
    /// There is no element type of that number, or the buffer is not aligned for it.
    Element = 43,
    /// An affine, spacing, direction or origin is missing, not finite, or spans no space.
    Affine = 44,
    /// Intensities cannot be normalised: one is not finite, or all are equal.
    Intensity = 45,
    /// A prompt is empty, not finite, or its box is inverted.
    Prompt = 60,
    /// A point or box lies outside the scan.
    OutsideScan = 61,
    /// A name is blank, too long, or the model's tokenizer refuses it.
    Text = 62,
    /// The progress callback asked to stop. The study can be used again.
    Cancelled = 80,
    /// ONNX Runtime failed while running, for want of its own memory for instance.
    Run = 81,
    /// A stage gave a number that is infinite or none.
    NotFinite = 82,
    /// A mask cannot be written: the folder, the disk, or a name that ends in neither .nii nor .nii.gz.
    Write = 83,
    /// There is not as much memory as a scan needs.
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

    /// The status' name in C.
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

/// A status' name, such as `SEGVOL_STATUS_OK`; of any other number `unknown status`. Never NULL, never to be freed.
///
/// Any thread, any time.
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
