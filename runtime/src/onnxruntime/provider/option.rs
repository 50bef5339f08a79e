//! Declares the options of providers: one typed struct per provider. The names of its fields are also the keys of
//! [`ProviderOptions::set`](super::ProviderOptions::set).

use std::path::PathBuf;

/// The description of a provider's option, for help and documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionInfo {
    /// The option's key.
    pub key: &'static str,
    /// The allowed values, in words.
    pub values: String,
    /// The default value.
    pub default: String,
    /// What the option does.
    pub meaning: String,
    /// ONNX Runtime's name for the option, with ONNX Runtime's own default in brackets.
    pub source: &'static str,
}

/// A type of option values.
pub(crate) trait OptionValue: Sized {
    /// The allowed values in words, for messages.
    fn expected() -> String;
    /// The value of a word; `None` if the word is not allowed.
    fn parse(text: &str) -> Option<Self>;
    /// The word for a value.
    fn show(&self) -> String;
}

/// A struct whose fields are options.
pub(crate) trait OptionSet: Default {
    /// Its options, in the order of declaration.
    fn info() -> Vec<OptionInfo>;
    /// Sets an option.
    ///
    /// # Errors
    ///
    /// `Some` with the allowed values if the value is not allowed, `None` if there is no such key.
    fn set(&mut self, key: &str, value: &str) -> Result<(), Option<String>>;
}

impl OptionValue for bool {
    fn expected() -> String {
        "on or off".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "on" | "true" | "1" => Some(true),
            "off" | "false" | "0" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        if *self { "on" } else { "off" }.to_owned()
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl OptionValue for $type {
            fn expected() -> String {
                format!("a whole number up to {}", Self::MAX)
            }

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64);

impl OptionValue for String {
    fn expected() -> String {
        "a word".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        // ONNX Runtime would read a NUL as the end of the string.
        (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl OptionValue for PathBuf {
    fn expected() -> String {
        "a folder".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        String::parse(text).map(Self::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// The word that leaves the choice to ONNX Runtime or the provider.
const UNSET: &str = "unset";

impl<T: OptionValue> OptionValue for Option<T> {
    fn expected() -> String {
        format!("{}, or {UNSET}", T::expected())
    }

    fn parse(text: &str) -> Option<Self> {
        if text == UNSET { Some(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| UNSET.to_owned(), OptionValue::show)
    }
}

/// Declares the options of a provider. Every field has its documentation, its default, and its name in ONNX Runtime with
/// the default there.
macro_rules! provider_options {
    (
        $(#[$attribute:meta])*
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $source:literal; )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $name {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $field(mut self, value: impl Into<$type>) -> Self {
                    self.$field = value.into();
                    self
                }
            )+
        }

        impl $crate::onnxruntime::provider::option::OptionSet for $name {
            fn info() -> Vec<$crate::onnxruntime::provider::option::OptionInfo> {
                use $crate::onnxruntime::provider::option::OptionValue;
                let default = Self::default();
                vec![$(
                    $crate::onnxruntime::provider::option::OptionInfo {
                        key: stringify!($field),
                        values: <$type as OptionValue>::expected(),
                        default: default.$field.show(),
                        meaning: concat!($($doc),+).trim().to_owned(),
                        source: $source,
                    },
                )+]
            }

            fn set(&mut self, key: &str, value: &str) -> Result<(), Option<String>> {
                use $crate::onnxruntime::provider::option::OptionValue;
                match key {
                    $(
                        stringify!($field) => {
                            let expected = || Some(<$type as OptionValue>::expected());
                            self.$field = <$type as OptionValue>::parse(value).ok_or_else(expected)?;
                            Ok(())
                        }
                    )+
                    _ => Err(None),
                }
            }
        }
    };
}

/// Declares an option whose values are words.
macro_rules! option_words {
    (
        $(#[$attribute:meta])*
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl $crate::onnxruntime::provider::option::OptionValue for $name {
            fn expected() -> String {
                [$($word),+].join(", ")
            }

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $( $word => Some(Self::$variant), )+
                    _ => None,
                }
            }

            fn show(&self) -> String {
                match self {
                    $( Self::$variant => $word, )+
                }
                .to_owned()
            }
        }
    };
}

pub(crate) use {option_words, provider_options};

option_words! {
    /// How much a provider's memory arena grows at a time.
    ArenaGrowth {
        /// To the next power of two: fewer, larger steps.
        PowerOfTwo = "power-of-two",
        /// By the requested size, which uses the least memory.
        AsRequested = "as-requested",
    }
}

impl From<ArenaGrowth> for ort::ep::ArenaExtendStrategy {
    fn from(growth: ArenaGrowth) -> Self {
        match growth {
            ArenaGrowth::PowerOfTwo => Self::NextPowerOfTwo,
            ArenaGrowth::AsRequested => Self::SameAsRequested,
        }
    }
}
